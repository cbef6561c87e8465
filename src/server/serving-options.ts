import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type { ServingOptions } from "../engine/serving/serving-options.ts";
import { systemClock } from "../engine/core/clock.ts";
import type { Telemetry } from "../engine/core/telemetry.ts";
import { Background, CoreLease } from "../engine/scheduler/core-lease.ts";
import { MemoryLedger } from "../engine/scheduler/memory-ledger.ts";
import { LoadQueue } from "../engine/serving/load-queue.ts";
import type { Settings } from "./settings.ts";

/** Memory of the server process without what it holds for dictionaries and clients: measured 80 MiB after the start. */
const SERVER_BYTES = 128 * 2 ** 20;

/** How dictionaries are served under these settings. Children run built code: this is for dist/. */
export function servingOptions(settings: Settings, telemetry: Telemetry, log: ServingOptions["log"]): ServingOptions {
  const lease = new CoreLease(Math.max(availableParallelism(), settings.threads), systemClock);
  const fixed = { server: SERVER_BYTES, requests: settings.maxBytesInFlight };
  // A load keeps about one core busy. While requests are worked on it leaves them half of the cores.
  const parallel = (): number => (lease.busy ? Math.floor(lease.total / 2) : lease.total);
  return {
    ...settings,
    executorEntry: new URL("../engine/runtime/process/main.js", import.meta.url),
    load: {
      runtime: settings.runtime,
      path: settings.path,
      gramLimit: settings.gramLimit,
      threads: settings.threads,
      cacheDir: resolve(settings.cacheDir),
    },
    lease,
    background: new Background(lease, settings.threads, systemClock),
    memory: new MemoryLedger(settings.memoryLimit, fixed, systemClock),
    loads: new LoadQueue({ clock: systemClock, parallel, log }),
    clock: systemClock,
    telemetry,
    log,
    degradeMs: Math.min(settings.degradeMs, settings.maxWaitMs),
    onDemand: settings.load === "lazy",
  };
}
