import { readFileSync } from "node:fs";

/** Limits of one process, by their names in /proc/self/limits. */
const NAMES = { addressSpace: "Max address space", openFiles: "Max open files" } as const;

/** Soft limit of this process, in bytes or in descriptors (`ulimit -v`, `-n`); Infinity if unset or unknown. */
export function processLimit(limit: keyof typeof NAMES): number {
  const soft = new RegExp(`^${NAMES[limit]}\\s+(\\d+)`, "m").exec(readProc("limits"))?.[1];
  return soft === undefined ? Infinity : Number(soft);
}

/** Address space left to this process in bytes; Infinity without a limit. */
export function freeAddresses(): number {
  const limit = processLimit("addressSpace");
  if (limit === Infinity) return Infinity;
  const taken = /^VmSize:\s+(\d+) kB$/m.exec(readProc("status"))?.[1];
  return Math.max(0, limit - 1024 * Number(taken ?? 0));
}

const GiB = 2 ** 30;

/** Addresses that a Node thread reserves: 780 MiB measured on Node 20. V8 ends the process if they are not free. */
const THREAD = GiB;

/** Addresses that V8 reserves for one WebAssembly memory of any size; and those to keep free for the heap. */
const WEBASSEMBLY = 10 * GiB;
const SPARE = 4 * GiB;

/** How many of the wanted threads fit into the address space. */
export const threadsThatFit = (wanted: number): number => Math.min(wanted, Math.floor(freeAddresses() / THREAD));

/** Whether one more WebAssembly memory fits into the address space. */
export const webAssemblyFits = (): boolean => freeAddresses() >= WEBASSEMBLY + SPARE;

function readProc(file: string): string {
  try {
    return readFileSync(`/proc/self/${file}`, "utf8");
  } catch {
    return "";
  }
}
