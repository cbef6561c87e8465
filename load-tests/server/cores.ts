import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Numbers of the cores that the server and its clients each have for themselves. */
export interface Halves {
  readonly server: readonly number[];
  readonly clients: readonly number[];
}

/** The cores that this process may use (proc(5), Cpus_allowed_list), in two halves. @throws Error where there is one */
export function halves(status = readFileSync("/proc/self/status", "utf8")): Halves {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? "";
  const cores = list.split(",").flatMap((range) => {
    const [first, last = first] = range.split("-").map(Number);
    return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
  });
  if (cores.length < 2)
    throw new Error(`Clients on cores of their own take two cores or more; there is ${list || "none"}.`);
  const half = cores.length >> 1;
  return { server: cores.slice(0, half), clients: cores.slice(half) };
}

/** Keeps this process, all its threads and what it starts from here on to some cores. @returns what undoes it */
export function keepTo(cores: readonly number[]): () => void {
  const before = execFileSync("taskset", ["-p", String(process.pid)], { encoding: "utf8" })
    .split(": ")[1]!
    .trim();
  const set = (...mask: string[]): void =>
    void execFileSync("taskset", ["-a", "-p", ...mask, String(process.pid)], { stdio: "ignore" });
  set("-c", cores.join(","));
  return () => set(before);
}
