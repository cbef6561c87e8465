import { readFileSync } from "node:fs";

/** Limits of one process, by their names in /proc/self/limits. */
const NAMES = { addressSpace: "Max address space", openFiles: "Max open files" } as const;

/** Soft limit of this process, in bytes or in descriptors (`ulimit -v`, `-n`); Infinity where none is set or known. */
export function processLimit(limit: keyof typeof NAMES): number {
  let table: string;
  try {
    table = readFileSync("/proc/self/limits", "utf8");
  } catch {
    return Infinity;
  }
  const soft = new RegExp(`^${NAMES[limit]}\\s+(\\d+)`, "m").exec(table)?.[1];
  return soft === undefined ? Infinity : Number(soft);
}
