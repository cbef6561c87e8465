import { type Clock, systemClock } from "../../src/engine/core/clock.ts";
import { Telemetry } from "../../src/engine/core/telemetry.ts";
import { Background, CoreLease } from "../../src/engine/scheduler/core-lease.ts";
import { MemoryLedger } from "../../src/engine/scheduler/memory-ledger.ts";
import { LoadQueue } from "../../src/engine/serving/load-queue.ts";
import type { ServingOptions } from "../../src/engine/serving/serving-options.ts";

/** Serves dictionaries by test/support/fake-executor.js, without limits but for those given. */
export function fakeServing(given: Partial<ServingOptions> & { readonly clock?: Clock } = {}): ServingOptions {
  const { clock = systemClock } = given;
  const lease = new CoreLease(2, systemClock);
  return {
    executorEntry: new URL("fake-executor.js", import.meta.url),
    load: { runtime: "cpu", path: "auto", gramLimit: 0, threads: 1, cacheDir: "" },
    lease,
    background: new Background(lease, 2, systemClock),
    memory: new MemoryLedger(2 ** 40, {}, clock),
    loads: new LoadQueue({ clock, parallel: () => 2, log: () => {} }),
    clock,
    telemetry: new Telemetry(),
    log: () => {},
    maxAtoms: 64,
    batchMs: 10,
    maxWaitMs: 10_000,
    maxQueueRows: 100_000,
    degradeMs: 10_000,
    watchdogFactor: 50,
    watchdogMs: 1_500,
    onDemand: false,
    loadTimeoutMs: 60_000,
    ...given,
  };
}
