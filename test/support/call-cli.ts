import { pathToFileURL } from "node:url";
import { format } from "node:util";
import { vi } from "vitest";
import { FULL } from "./full.ts";
import { CLI, type Finished, runCli } from "./run-cli.ts";

/**
 * Runs a command of the built CLI: in a process of its own in a full run, and inside this one in a quick run, which saves half a
 * second of CPU a call. Use {@link runCli} where the process is the point: signals, secrets, its environment.
 */
export const callCli: typeof runCli = FULL ? runCli : callInProcess;

async function callInProcess(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Finished> {
  const { run } = (await import(new URL("program.js", pathToFileURL(CLI)).href)) as {
    run: (args: readonly string[]) => Promise<void>;
  };
  const { env: before, exitCode } = process;
  const read = { stdout: "", stderr: "" };
  const printer =
    (to: keyof typeof read) =>
    (...texts: unknown[]): void => {
      read[to] += `${format(...texts)}\n`;
    };
  const writer = (to: keyof typeof read) => (text: string | Uint8Array) => {
    read[to] += String(text);
    return true;
  };
  const spies = [
    vi.spyOn(console, "log").mockImplementation(printer("stdout")),
    vi.spyOn(console, "error").mockImplementation(printer("stderr")),
    vi.spyOn(process.stdout, "write").mockImplementation(writer("stdout")),
    vi.spyOn(process.stderr, "write").mockImplementation(writer("stderr")),
  ];
  Object.assign(process, { env: { ...before, ...env }, exitCode: undefined });
  try {
    await run(args);
    return { code: Number(process.exitCode ?? 0), ...read };
  } finally {
    Object.assign(process, { env: before, exitCode });
    for (const spy of spies) spy.mockRestore();
  }
}
