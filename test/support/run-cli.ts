import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The built command line; `npm test` builds it first. */
export const CLI = fileURLToPath(new URL("../../dist/cli/pursuit.js", import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command of the built CLI to its end. */
export function runCli(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Finished> {
  const child = spawn(process.execPath, [CLI, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const read = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (read.stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (read.stderr += text));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, ...read }));
  });
}
