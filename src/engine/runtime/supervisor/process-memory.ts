import { readFileSync, writeFileSync } from "node:fs";

/**
 * Returns the private memory of a process in bytes; null if unknown (not Linux, or it has ended). File pages are not
 * counted: processes share them and the system may drop them.
 */
export function residentBytes(pid: number): number | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const kiB = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0);
    const bytes = 1024 * (kiB("RssAnon") + kiB("RssShmem"));
    return bytes > 0 ? bytes : null;
  } catch {
    return null;
  }
}

/**
 * How much sooner than this process Linux ends another when memory runs out: oom_score_adj, see
 * proc_pid_oom_score_adj(5).
 */
export const SOONER = { serving: 200, loading: 900 } as const;

const LARGEST_SCORE = 1000;

/** Makes the system end that process before the server, or before one with a lower score. Best effort. */
export function endSooner(pid: number, by: number): void {
  try {
    const own = Number(readFileSync("/proc/self/oom_score_adj", "utf8"));
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(Math.min(LARGEST_SCORE, own + by)));
  } catch {
    // Not Linux, not allowed, or gone: the system then chooses by size alone.
  }
}
