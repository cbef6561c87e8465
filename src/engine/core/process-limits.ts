import { readFileSync } from "node:fs";

/** Limits of one process, by their names in /proc/self/limits. */
const NAMES = { addressSpace: "Max address space", openFiles: "Max open files" } as const;

/** Soft limit of this process, in bytes or in descriptors (`ulimit -v`, `-n`); Infinity where none is set or known. */
export function processLimit(limit: keyof typeof NAMES): number {
  const soft = new RegExp(`^${NAMES[limit]}\\s+(\\d+)`, "m").exec(readProc("limits"))?.[1];
  return soft === undefined ? Infinity : Number(soft);
}

/** Bytes of addresses that this process may still take; Infinity where there is no limit. */
export function freeAddresses(): number {
  const limit = processLimit("addressSpace");
  if (limit === Infinity) return Infinity;
  const taken = /^VmSize:\s+(\d+) kB$/m.exec(readProc("status"))?.[1];
  return Math.max(0, limit - 1024 * Number(taken ?? 0));
}

const GiB = 2 ** 30;

/** Addresses that a thread of Node reserves: 780 MiB were measured on Node 20. V8 ends the process where they are not free. */
const THREAD = GiB;

/** Addresses that V8 reserves for one WebAssembly memory, whatever its size; and what should stay free for the heap. */
const WEBASSEMBLY = 10 * GiB;
const SPARE = 4 * GiB;

/** How many of so many threads can be started within the address space. */
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
