import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { residentMiB } from "../../test/support/process-figures.ts";
import { type RunningServer, type ServerOptions, startServer } from "../../test/support/running-server.ts";
import { pause } from "./traffic.ts";

/** Memory and open files of the server process and its runtime processes. */
export interface Held {
  readonly serverMiB: number;
  readonly runtimesMiB: number;
  readonly files: number;
}

/** A server with folders of its own. */
export interface WatchedServer extends RunningServer {
  readonly folder: string;
  readonly held: () => Held;
  /** Resolves when every dictionary answers again with all runtime processes running. @throws Error when the server ended */
  readonly settled: () => Promise<void>;
  /** Ends it and removes its folders. @throws Error when it does not end with 0 */
  readonly end: () => Promise<void>;
}

export async function startWatched(
  modelsDir: string,
  env: Readonly<Record<string, string>> = {},
  options: ServerOptions = {},
): Promise<WatchedServer> {
  const folder = mkdtempSync(join(tmpdir(), "pursuit-chaos-"));
  const settings = { PURSUIT_LOG_LEVEL: "warn", ...env };
  const server = await startServer(modelsDir, folder, settings, { stateDir: join(folder, "state"), ...options });
  const pid = server.process.pid!;
  return {
    ...server,
    folder,
    held: () => ({
      serverMiB: residentMiB(pid),
      runtimesMiB: server.runtimes().reduce((sum, one) => sum + memoryOf(one), 0),
      files: readdirSync(`/proc/${pid}/fd`).length,
    }),
    async settled() {
      for (;;) {
        if (server.process.exitCode !== null || server.process.signalCode !== null)
          throw new Error(`the server ended: ${server.log()}`);
        const answer = await fetch(`${server.base}/health/ready`).catch(() => null);
        const body = (await answer?.json().catch(() => null)) as { dictionaries?: unknown } | null;
        if (answer?.status === 200 && body !== null && body.dictionaries === undefined) return;
        await pause(50);
      }
    },
    async end() {
      const code = await server.stop();
      rmSync(folder, { recursive: true, force: true });
      if (code !== 0) throw new Error(`the server ended with ${code}: ${server.log()}`);
    },
  };
}

/** 0 for a process that has just ended. */
function memoryOf(pid: number): number {
  try {
    return residentMiB(pid);
  } catch {
    return 0;
  }
}
