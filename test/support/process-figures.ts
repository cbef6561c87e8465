import { existsSync, readFileSync } from "node:fs";

/** USER_HZ: ticks a second of CPU time in /proc, on every Linux that Node runs on. */
const TICKS_A_SECOND = 100;

/** User and system time of a process and its threads in seconds, to 10 ms. Linux. */
export function cpuSeconds(pid: number): number {
  // The name in brackets may hold blanks.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

/** Resident memory of a process in MiB. Linux. */
export function residentMiB(pid: number): number {
  const kiB = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  if (kiB === undefined) throw new Error(`/proc/${pid}/status says nothing of VmRSS`);
  return Number(kiB) / 1024;
}

/** Ids of the processes that its main thread started. Linux. */
export function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(/\s+/).filter(Boolean).map(Number);
}

/** Whether a process exists and has not ended. Linux. */
export const isAlive = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
