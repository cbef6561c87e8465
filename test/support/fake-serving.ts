import { type Clock, systemClock } from "../../src/engine/core/clock.ts";
import { Telemetry } from "../../src/engine/core/telemetry.ts";
import { Background, CoreLease } from "../../src/engine/scheduler/core-lease.ts";
import { MemoryLedger } from "../../src/engine/scheduler/memory-ledger.ts";
import { LoadQueue } from "../../src/engine/serving/load-queue.ts";
import type { ServingOptions } from "../../src/engine/serving/serving-options.ts";

/** Serves dictionaries by test/support/fake-executor.ts, without limits but for those given. */
export function fakeServing(given: Partial<ServingOptions> & { readonly clock?: Clock } = {}): ServingOptions {
  const { clock = systemClock } = given;
  const lease = new CoreLease(2, systemClock);
  return {
    executorEntry: new URL("fake-executor.ts", import.meta.url),
    load: { runtime: "cpu", path: "auto", gramLimitBytes: 0, threads: 1, scratchDir: "" },
    lease,
    background: new Background(lease, 2, systemClock),
    memory: new MemoryLedger(2 ** 40, {}, clock),
    loads: new LoadQueue({ clock, parallel: () => 2, log: () => {} }),
    clock,
    telemetry: new Telemetry(),
    log: () => {},
    maxAtoms: 64,
    batchMilliseconds: 10,
    maxWait: 10_000,
    maxQueueRows: 100_000,
    degradeWait: 10_000,
    watchdog: { factor: 50, floor: 1_500 },
    onDemand: false,
    loadTimeout: 60_000,
    ...given,
  };
}
