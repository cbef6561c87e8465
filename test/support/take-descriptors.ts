import { spawn } from "node:child_process";
import { once } from "node:events";

/**
 * Lets a process, or this one, open no further file: what it has open stays so, above the limit. Linux: needs prlimit.
 * @returns how to lift that
 */
export async function takeDescriptors(pid: number): Promise<() => Promise<void>> {
  // A process of its own: under the limit this one could not start prlimit to lift it.
  const script = `
    before=$(prlimit --pid=${pid} --nofile --output=SOFT --noheadings)
    prlimit --pid=${pid} --nofile=3: && echo taken
    read lifted
    prlimit --pid=${pid} --nofile=$before:`;
  const child = spawn("sh", ["-c", script], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  await once(child.stdout, "data");
  return async () => {
    child.stdin.end("\n");
    await exited;
  };
}
