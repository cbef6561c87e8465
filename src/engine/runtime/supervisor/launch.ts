import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { shortageOf } from "../../core/errors.ts";
import { processLimit } from "../../core/process-limits.ts";
import { readFileSync, writeFileSync } from "node:fs";

/** Makes Linux kill the child when this process ends for any reason, even while the child is stopped. */
const WITH_DEATH_SIGNAL = ["setpriv", "--pdeathsig", "KILL"] as const;

/** Whether this machine's setpriv has the option; those of BusyBox and other systems do not. */
let deathSignal: Promise<boolean> | null = null;
const hasDeathSignal = (): Promise<boolean> =>
  (deathSignal ??= promisify(execFile)(WITH_DEATH_SIGNAL[0], [...WITH_DEATH_SIGNAL.slice(1), "true"]).then(
    () => true,
    () => false,
  ));

/** Without it V8 reserves 10 GiB of addresses for each WebAssembly memory (Node 20.15). */
const SMALL_MEMORIES = "--disable-wasm-trap-handler";

const running = new Set<ChildProcess>();
// A forced exit skips clean-up: without this, a stopped child would stay behind.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/**
 * Starts Node with a file of ours. The child's descriptor 3 is one end of a Unix socket pair: no path on disk, nothing
 * to clean up, and the child sees its end when this process ends for any reason.
 * @param dictionary shown by `ps` after the file's name
 * @throws Error with the system's error as its cause
 */
export async function launch(entry: URL, dictionary: string): Promise<ChildProcess> {
  const file = fileURLToPath(entry);
  const small = processLimit("addressSpace") < Infinity && process.allowedNodeEnvironmentFlags.has(SMALL_MEMORIES);
  const flags = small ? [SMALL_MEMORIES] : [];
  const node = [process.execPath, ...flags, file, dictionary];
  const [command, ...args] = (await hasDeathSignal()) ? [...WITH_DEATH_SIGNAL, ...node] : node;
  try {
    // ONNX Runtime writes to stdout and stderr; send both to the server's stderr.
    const child = spawn(command!, args, { stdio: ["ignore", 2, 2, "pipe"] });
    await once(child, "spawn");
    // The exit event reports everything; a signal that cannot be sent must not end the server.
    child.on("error", () => {});
    running.add(child);
    child.once("exit", () => running.delete(child));
    return child;
  } catch (error) {
    const why = shortageOf(error) ?? (error as Error).message;
    throw new Error(`a process could not be started: ${why}`, { cause: error });
  }
}

/**
 * Returns the private memory of a process in bytes; null if unknown (not Linux, or it has ended). File pages are not
 * counted: processes share them and the system may drop them.
 */
export function residentBytes(pid: number): number | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const kiB = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0);
    const bytes = 1024 * (kiB("RssAnon") + kiB("RssShmem"));
    return bytes > 0 ? bytes : null;
  } catch {
    return null;
  }
}

/**
 * How much sooner than this process Linux ends another when memory runs out: oom_score_adj, see
 * proc_pid_oom_score_adj(5).
 */
export const SOONER = { serving: 200, loading: 900 } as const;

const LARGEST_SCORE = 1000;

/** Makes the system end that process before the server, or before one with a lower score. Best effort. */
export function endSooner(pid: number, by: number): void {
  try {
    const own = Number(readFileSync("/proc/self/oom_score_adj", "utf8"));
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(Math.min(LARGEST_SCORE, own + by)));
  } catch {
    // Not Linux, not allowed, or gone: the system then chooses by size alone.
  }
}
