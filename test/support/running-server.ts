import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { childrenOf } from "./process-figures.ts";
import { CLI } from "./run-cli.ts";
import { until } from "./until.ts";

/** A built server in its own process; it may still be loading. */
export interface ServerProcess {
  readonly process: ChildProcess;
  /** Standard error so far. */
  readonly log: () => string;
  /** Process ids of its runtime processes (Linux). */
  readonly runtimes: () => readonly number[];
  /** Its exit code; null if a signal ended it. */
  readonly exited: Promise<number | null>;
  /** Asks it to end. @returns its exit code */
  readonly stop: () => Promise<number | null>;
}

/** A server that serves, on a port of its own choice. */
export interface RunningServer extends ServerProcess {
  readonly base: string;
  readonly port: number;
}

export interface ServerOptions {
  /** Command prefix, such as `["taskset", "-c", "0"]`. */
  readonly prefix?: readonly string[];
  /** Further flags of `serve`. */
  readonly flags?: readonly string[];
  /** Folder for saved state; default: one beside the generated files. */
  readonly stateDir?: string;
}

/** Starts the server without waiting. */
export function spawnServer(
  modelsDir: string,
  cacheDir: string,
  env: Readonly<Record<string, string | undefined>> = {},
  { prefix = [], flags = [], stateDir = join(cacheDir, "state") }: ServerOptions = {},
): ServerProcess {
  const folders = ["--models-dir", modelsDir, "--cache-dir", cacheDir, "--state-dir", stateDir];
  const [command, ...args] = [...prefix, process.execPath, CLI, "serve", "--port", "0", ...folders, ...flags];
  // Hand-written requests name their host "x".
  const settings = { PURSUIT_ALLOWED_HOSTS: "x", ...env };
  const child = spawn(command!, args, { env: { ...process.env, ...settings }, stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  const exited = once(child, "exit").then(([code]) => code as number | null);
  return {
    process: child,
    log: () => log,
    runtimes: () => childrenOf(child.pid!),
    exited,
    stop() {
      child.kill("SIGTERM");
      return exited;
    },
  };
}

/**
 * Starts the server and resolves once it serves.
 * @throws Error with its log when it ends first
 */
export async function startServer(
  modelsDir: string,
  cacheDir: string,
  env: Readonly<Record<string, string | undefined>> = {},
  options: ServerOptions = {},
): Promise<RunningServer> {
  const server = spawnServer(modelsDir, cacheDir, env, options);
  const { stdout } = server.process;
  for await (const line of createInterface({ input: stdout! })) {
    const base = /^Pursuit serves .* at (https?:\S+)/.exec(line)?.[1];
    if (base === undefined) continue;
    stdout!.resume();
    return { ...server, base, port: Number(new URL(base).port) };
  }
  throw new Error(`the server ended before it served: ${server.log()}`);
}

/** Waits for the runtime process of a dictionary (Linux). @returns its id */
export async function runtimeOf(server: ServerProcess, id: string): Promise<number> {
  let found: number | undefined;
  await until(() => (found = server.runtimes().find((pid) => serves(pid, id))) !== undefined);
  return found!;
}

/** The server also has short-lived children, each a copy of the server before its exec. */
function serves(pid: number, id: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").endsWith(`main.js\0${id}\0`);
  } catch {
    return false;
  }
}

/** Returns what the server reports of a dictionary's runtime process. */
export async function runtimeStateOf({ base }: RunningServer, id: string): Promise<string | undefined> {
  const status = (await (await fetch(`${base}/v1/dictionaries/${id}`)).json()) as { readonly runtime_state?: string };
  return status.runtime_state;
}
