import type { LoadedFacts } from "../runtime/protocol/messages.ts";
import type { SupervisedRuntime } from "../runtime/supervisor/supervised-runtime.ts";
import { BatchQueue } from "../scheduler/batch-queue.ts";
import type { SparseCodes } from "../core/sparse-codes.ts";
import { DictionaryExecutor, type EncodeWork } from "./dictionary-executor.ts";
import type { ServingOptions } from "./serving-options.ts";

/** The queue of one dictionary's rows, before its runtime. */
export function createQueue(
  dictionary: string,
  runtime: SupervisedRuntime,
  { dIn, warmUp }: Pick<LoadedFacts, "warmUp"> & { readonly dIn: number },
  options: ServingOptions,
): BatchQueue<EncodeWork, SparseCodes> {
  const { lease, clock, telemetry, load, batchMs, watchdogFactor, watchdogMs, maxWaitMs, maxQueueRows, degradeMs } =
    options;
  const executor = new DictionaryExecutor({
    dictionary,
    runtime,
    warmUp,
    clock,
    telemetry,
    dIn,
    threads: load.threads,
    batchMs,
    watchdogFactor,
    watchdogMs,
  });
  return new BatchQueue({
    executor,
    lease,
    clock,
    maxWaitMs,
    maxRows: maxQueueRows,
    degradeMs,
    onShed: (reason) => telemetry.emit({ type: "shed", reason, dictionary }),
    onQueued: (rows) => telemetry.emit({ type: "queued", dictionary, rows }),
  });
}
