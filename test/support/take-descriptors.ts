import { spawn } from "node:child_process";
import { once } from "node:events";

/**
 * Stops a process, or this one, from opening further files; open ones stay open. Linux: needs prlimit.
 * @returns lifts the limit
 */
export async function takeDescriptors(pid: number): Promise<() => Promise<void>> {
  // A separate process, because under the limit this one could not start prlimit to lift it.
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
