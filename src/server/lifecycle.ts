import { isatty } from "node:tty";
import type { Logger } from "pino";

/** Cause of the server's end: a signal, or an uncaught error. */
export type EndCause = { readonly signal: NodeJS.Signals } | { readonly fault: unknown };

export interface LifecycleOptions {
  readonly logger: Logger;
  /** Milliseconds that `close` may take before the process ends anyway. */
  readonly limit: number;
  /** Answers accepted requests and releases everything. */
  readonly close: (cause: EndCause) => Promise<void>;
}

/**
 * Milliseconds within which a second signal counts as the first: a terminal sends Ctrl-C to the whole process group,
 * and npm passes it on.
 */
const SAME_SIGNAL = 250;

/**
 * Without a terminal, as under nohup or a service manager, SIGHUP must not end the server. Node has reset the inherited
 * disposition, so it cannot be checked whether nohup ignored the signal.
 */
const hangsUp = (): boolean => [0, 1, 2].some((descriptor) => isatty(descriptor));

/** Keeps SIGHUP from ending a process that has no terminal. */
export function outliveTerminal(): void {
  if (!hangsUp()) process.on("SIGHUP", () => {});
}

/**
 * Ends the process on SIGINT, SIGTERM, SIGQUIT and a terminal's SIGHUP, with 0 once `close` is done, and with 1 on an
 * uncaught error. A second signal, or `limit`, ends it at once with 1.
 */
export function endOnSignals({ logger, limit, close }: LifecycleOptions): void {
  let ending: number | null = null;

  const end = async (cause: EndCause): Promise<void> => {
    const now = performance.now();
    if (ending !== null) {
      if ("fault" in cause) logger.fatal({ err: cause.fault }, "A second uncaught error.");
      else if (now - ending < SAME_SIGNAL) return;
      else logger.error(`A second ${cause.signal}: ending at once.`);
      process.exit(1);
    }
    ending = now;
    if ("fault" in cause) logger.fatal({ err: cause.fault }, "An uncaught error.");
    else logger.info({ signal: cause.signal }, "Closing after accepted requests are answered.");
    setTimeout(() => {
      logger.error(`Ending with requests unanswered: closing took over ${limit} ms (PURSUIT_CLOSE_MS).`);
      process.exit(1);
    }, limit).unref();
    try {
      await close(cause);
      process.exit("fault" in cause ? 1 : 0);
    } catch (error) {
      logger.error({ err: error }, "Closing failed.");
      process.exit(1);
    }
  };

  const signals: NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGQUIT", ...(hangsUp() ? (["SIGHUP"] as const) : [])];
  for (const signal of signals) process.on(signal, () => void end({ signal }));
  for (const event of ["uncaughtException", "unhandledRejection"])
    process.on(event, (fault: unknown) => void end({ fault }));
}
