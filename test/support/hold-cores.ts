import type { CoreLease } from "../../src/engine/scheduler/core-lease.ts";

/** Holds cores as another dictionary without further work would. */
export function holdCores<T>(lease: CoreLease, cores: number, use: () => Promise<T>): Promise<T> {
  return lease.join({ running: () => 0, total: () => 0 }, cores).hold(use);
}
