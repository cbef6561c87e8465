import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type { ServingOptions } from "../engine/serving/serving-options.ts";
import { systemClock } from "../engine/core/clock.ts";
import type { EngineObserver } from "../engine/core/observer.ts";
import { Background } from "../engine/scheduler/background.ts";
import { CoreLease } from "../engine/scheduler/core-lease.ts";
import type { Settings } from "./settings.ts";

/** How dictionaries are served under these settings. Children run built code: this is for dist/. */
export function servingOptions(
  settings: Settings,
  observer: EngineObserver,
  log: ServingOptions["log"],
): ServingOptions {
  const lease = new CoreLease(Math.max(availableParallelism(), settings.threads), systemClock);
  return {
    executorEntry: new URL("../engine/runtime/process/main.js", import.meta.url),
    load: {
      runtime: settings.runtime,
      path: settings.path,
      gramLimitBytes: settings.gramLimit,
      threads: settings.threads,
      scratchDir: resolve(settings.cacheDir),
    },
    lease,
    background: new Background(lease, settings.threads, systemClock),
    clock: systemClock,
    observer,
    log,
    maxAtoms: settings.maxAtoms,
    batchMilliseconds: settings.batchMs,
    maxWait: settings.maxWaitMs,
    maxQueueRows: settings.maxQueueRows,
    degradeWait: Math.min(settings.degradeMs, settings.maxWaitMs),
    watchdog: { factor: settings.watchdogFactor, floor: settings.watchdogMs },
    loadTimeout: settings.loadTimeoutMs,
  };
}
