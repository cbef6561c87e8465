import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { childrenOf } from "./process-figures.ts";
import { CLI } from "./run-cli.ts";

/** A built server in a process of its own, listening on a port of its own choice. */
export interface RunningServer {
  readonly base: string;
  readonly port: number;
  readonly process: ChildProcess;
  /** Everything on standard error so far. */
  readonly log: () => string;
  /** Process ids of its runtime processes (Linux). */
  readonly runtimes: () => readonly number[];
  /** Asks it to end; resolves with its exit code. */
  readonly stop: () => Promise<number | null>;
}

/**
 * Starts the server and resolves once it says that it serves.
 *
 * @param cores that it and its runtime processes are kept to (taskset); all if not said
 * @param flags further ones
 * @throws Error with its log when it ends first
 */
export async function startServer(
  modelsDir: string,
  cacheDir: string,
  env: Readonly<Record<string, string | undefined>> = {},
  cores: readonly number[] = [],
  flags: readonly string[] = [],
): Promise<RunningServer> {
  const state = join(cacheDir, "state");
  const folders = ["--models-dir", modelsDir, "--cache-dir", cacheDir, "--state-dir", state];
  const serve = [process.execPath, CLI, "serve", "--port", "0", ...folders, ...flags];
  const [command, ...args] = cores.length > 0 ? ["taskset", "-c", cores.join(","), ...serve] : serve;
  // Requests written by hand name their host "x".
  const settings = { PURSUIT_ALLOWED_HOSTS: "x", ...env };
  const child = spawn(command!, args, { env: { ...process.env, ...settings }, stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  const exited = once(child, "exit");
  for await (const line of createInterface({ input: child.stdout })) {
    const base = /^Pursuit serves .* at (http:\S+)/.exec(line)?.[1];
    if (base === undefined) continue;
    child.stdout.resume();
    const { pid } = child;
    return {
      base,
      port: Number(new URL(base).port),
      process: child,
      log: () => log,
      runtimes: () => childrenOf(pid!),
      async stop() {
        child.kill("SIGTERM");
        const [code] = (await exited) as [number | null];
        return code;
      },
    };
  }
  throw new Error(`the server ended before it served: ${log}`);
}
