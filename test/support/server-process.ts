/** The built server as its users run it: a process of its own, told by its environment, found by what it prints. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import { temporaryFolder } from "./temporary-folder.ts";

/** dist/ rather than bin/, which compiles first: several test files must not build at once. */
export const COMMAND = fileURLToPath(new URL("../../dist/cli/pursuit.js", import.meta.url));

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Runs `pursuit` to its end. Of our environment it sees no setting. */
export async function runPursuit(
  args: readonly string[],
  settings: Readonly<Record<string, string>> = {},
): Promise<Exit & { readonly stdout: string; readonly stderr: string }> {
  const output = launch(args, settings);
  const exit = await output.exited;
  return { ...exit, stdout: output.stdout(), stderr: output.stderr() };
}

export interface ServerProcess {
  readonly port: number;
  /** http://127.0.0.1:port */
  readonly base: string;
  readonly pid: number;
  readonly exited: Promise<Exit>;
  stdout(): string;
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
  /** Process ids of the runtime processes, its children. */
  runtimes(): readonly number[];
}

/** A server over a models folder, once all its dictionaries are loaded or have failed to. */
export async function startServer(
  modelsDir: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<ServerProcess> {
  const started = launch(["serve", "--port", "0"], {
    PURSUIT_MODELS_DIR: modelsDir,
    PURSUIT_CACHE_DIR: await temporaryFolder(),
    PURSUIT_RUNTIME: "cpu",
    PURSUIT_THREADS: "1",
    ...settings,
  });
  const address = await started.printed(/Listening at (http:\/\/[\d.]+:(\d+));/);
  await started.printed(/"msg":"(?:Ready\.|No dictionary could be loaded\.)"/);
  const { child } = started;
  return {
    port: Number(address[2]),
    base: address[1]!,
    pid: child.pid!,
    exited: started.exited,
    stdout: started.stdout,
    stderr: started.stderr,
    kill: (signal) => child.kill(signal),
    runtimes: () => childrenOf(child.pid!),
  };
}

/** Whether a process still runs; one that has ended and waits for its parent to look does not. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
}

const launched: { child: ChildProcess; exited: Promise<Exit> }[] = [];

afterAll(async () => {
  for (const { child } of launched) child.kill("SIGKILL");
  await Promise.all(launched.splice(0).map(({ exited }) => exited));
});

function launch(args: readonly string[], settings: Readonly<Record<string, string>>) {
  if (!existsSync(COMMAND)) throw new Error(`${COMMAND} is not there: npm run build`);
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("PURSUIT_"));
  const child = spawn(process.execPath, [COMMAND, ...args], {
    env: { ...Object.fromEntries(inherited), ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const text = { stdout: "", stderr: "" };
  const listeners = new Set<() => void>();
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (chunk: string) => {
      text[name] += chunk;
      for (const listener of listeners) listener();
    });
  }
  const exited = new Promise<Exit>((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  launched.push({ child, exited });
  return {
    child,
    exited,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    /** Resolves once it has printed this, on either stream. */
    printed(pattern: RegExp): Promise<RegExpExecArray> {
      return new Promise((resolve, reject) => {
        const look = (): void => {
          const found = pattern.exec(text.stderr) ?? pattern.exec(text.stdout);
          if (found === null) return;
          listeners.delete(look);
          resolve(found);
        };
        listeners.add(look);
        look();
        void exited.then(({ code }) => reject(new Error(`pursuit ended (${code}) before it printed:\n${text.stderr}`)));
      });
    },
  };
}
