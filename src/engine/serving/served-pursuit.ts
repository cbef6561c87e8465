import type { DictionaryManifest, RuntimeChoice } from "../core/dictionary.ts";
import { clientClosed, EngineError, Fault } from "../core/errors.ts";
import type { SparseCodes } from "../core/sparse-codes.ts";
import { decoderSettings } from "../encoders/decoder-pursuit.ts";
import type { RequestContext } from "../engine.ts";
import type { GramProgress } from "../runtime/protocol/messages.ts";
import { RuntimeProcess } from "../runtime/supervisor/runtime-process.ts";
import { SupervisedRuntime } from "../runtime/supervisor/supervised-runtime.ts";
import type { BatchQueue } from "../scheduler/batch-queue.ts";
import { type MemoryNeeds, totalBytes } from "../scheduler/memory-ledger.ts";
import { decoderBudgetRule } from "./choose-encoder.ts";
import type { RowBudgetRule } from "./check-encode.ts";
import { createQueue } from "./create-queue.ts";
import { DictionaryMemory, pursuitNeeds } from "./dictionary-memory.ts";
import type { EncodeWork } from "./dictionary-executor.ts";
import { GramTask } from "./runtime-calls.ts";
import { faultsOf, LoadRetry } from "./load-queue.ts";
import type { ServingOptions } from "./serving-options.ts";

/** The dictionary version whose decoder it uses. */
export interface PursuitSource {
  readonly id: string;
  readonly folder: string;
  readonly manifest: DictionaryManifest;
  readonly sha256: string;
}

interface Made {
  readonly runtime: SupervisedRuntime;
  readonly queue: BatchQueue<EncodeWork, SparseCodes>;
  readonly gramTask: GramTask;
  readonly memory: DictionaryMemory;
}

/** Starts what claims so many bytes, once there is room for them (see {@link ServedDictionaries.admit}). */
export type Admit = <T>(needed: number, start: () => Promise<T>) => Promise<T>;

/** Milliseconds for which a failure is answered before another try. */
const RETRY_AFTER = 5_000;

/**
 * Pursuit over the decoder of one served dictionary (docs/pursuit-over-decoder.md). The first request for it starts a
 * runtime process of its own, under the memory ledger; the Gram matrix follows in the background. A crash of that process
 * leaves the dictionary's own encoder alone.
 */
export class ServedPursuit {
  readonly rule: RowBudgetRule;
  readonly #source: PursuitSource;
  readonly #options: ServingOptions;
  #made: Made | null = null;
  #chosen: RuntimeChoice | null = null;
  #making: Promise<void> | null = null;
  /** When making began, and what it waits for. */
  #began = 0;
  #stage = "";
  #failed: { readonly error: EngineError; readonly until: number } | null = null;
  readonly #givenUp = new AbortController();

  constructor(source: PursuitSource, options: ServingOptions) {
    this.#source = source;
    this.#options = options;
    this.rule = decoderBudgetRule(source.manifest, options.maxAtoms);
  }

  /** What executes it; null before the first request. */
  get chosen(): RuntimeChoice | null {
    return this.#chosen;
  }

  /** Predicted milliseconds until a small request would start; 0 before the first one. */
  get predictedWait(): number {
    return this.#made?.queue.predictedWait ?? 0;
  }

  /** Bytes that it holds of the memory limit, by use. */
  get memoryUses(): MemoryNeeds {
    return this.#made?.memory.uses ?? {};
  }

  /** Why it runs without a Gram matrix; null where it has one, or wants none. */
  get warning(): string | null {
    return this.#made?.memory.warning ?? null;
  }

  /** The queue of its rows. Call after {@link prepare}. @throws EngineError PURSUIT_NOT_READY */
  get queue(): BatchQueue<EncodeWork, SparseCodes> {
    if (this.#made === null) throw this.#notYet();
    return this.#made.queue;
  }

  /**
   * Resolves when rows can be queued. The first call starts the process. Waits until the deadline, PURSUIT_MAX_WAIT_MS at
   * most.
   * @param admit makes room for its memory first, where dictionaries are loaded on demand
   * @throws EngineError PURSUIT_NOT_READY (what is being made), PURSUIT_MEMORY_FULL, PURSUIT_DICTIONARY_FAILED,
   *   PURSUIT_CLIENT_CLOSED
   */
  async prepare(
    { cancellation, deadline = Infinity }: Pick<RequestContext, "cancellation" | "deadline">,
    admit: Admit,
  ): Promise<void> {
    if (this.#made !== null) return;
    const { clock, maxWaitMs } = this.#options;
    const now = clock.now();
    if (this.#failed !== null && now < this.#failed.until) throw this.#failed.error;
    if (this.#making === null) {
      this.#began = now;
      this.#making = this.#make(admit).finally(() => (this.#making = null));
    }
    const making = this.#making;
    await new Promise<void>((resolve, reject) => {
      const end = (settle: () => void): void => {
        stopTimer();
        cancellation.unlisten(onCancel);
        settle();
      };
      const onCancel = (): void => end(() => reject(clientClosed()));
      const wait = Math.max(0, Math.min(maxWaitMs, deadline - now));
      const stopTimer = clock.after(wait, () => end(() => reject(this.#notYet())));
      making.then(
        () => end(resolve),
        (error: unknown) => end(() => reject(error)),
      );
      if (cancellation.cancelled) onCancel();
      else cancellation.listen(onCancel);
    });
  }

  /** Gives up a call that hangs after seconds: the server stops. */
  hurry(): void {
    this.#made?.runtime.hurry();
  }

  /** Answers what was accepted, then ends the process. */
  async close(): Promise<void> {
    this.#givenUp.abort();
    await this.#making?.catch(() => {});
    const made = this.#made;
    if (made === null) return;
    made.gramTask.stop();
    await made.queue.drain();
    await made.runtime.close();
    made.memory.release();
    this.#made = null;
  }

  #notYet(): EngineError {
    const { id } = this.#source;
    const seconds = Math.max(1, Math.round((this.#options.clock.now() - this.#began) / 1000));
    const message = `encoder: the pursuit over the decoder of ${id} is being made for its first request: ${this.#stage} (${seconds} s so far). Send the request again.`;
    return new EngineError("PURSUIT_NOT_READY", message, { retryAfter: seconds });
  }

  async #make(admit: Admit): Promise<void> {
    const { id, manifest } = this.#source;
    const { memory: ledger, loads, load, clock } = this.#options;
    const { signal } = this.#givenUp;
    const needs = pursuitNeeds(manifest);
    const retry = new LoadRetry(`${id} (pursuit over its decoder)`, this.#options, signal);
    const pursuit = { ...manifest, kind: "matching_pursuit", encoder: decoderSettings(manifest.encoder) };
    const words = { subject: `The pursuit over the decoder of ${id}`, again: "send the request again" };
    let memory: DictionaryMemory | null = null;
    for (;;) {
      try {
        this.#stage = "it waits for memory";
        memory ??= await admit(totalBytes(needs), () => DictionaryMemory.claim(ledger, pursuit, needs, load, words));
        const granted = memory;
        this.#stage = "it waits for other loads";
        await loads.run(`${id} (pursuit)`, () => this.#start(granted));
        return;
      } catch (error) {
        // Every request for it gave up before there was room: the next one tries again.
        if (error instanceof EngineError && error.code === "PURSUIT_NOT_READY") throw error;
        const faults = await retry.after(error, memory);
        if (faults === null && !signal.aborted) continue;
        memory?.release();
        if (signal.aborted) {
          throw new EngineError("PURSUIT_DRAINING", `Dictionary ${id} is being unloaded.`, { retryAfter: 1 });
        }
        throw this.#fail(error, faults ?? faultsOf(error), clock.now() + RETRY_AFTER);
      }
    }
  }

  async #start(memory: DictionaryMemory): Promise<void> {
    const { id, folder, manifest } = this.#source;
    const { clock, log, executorEntry, load, loadTimeoutMs, telemetry } = this.#options;
    const { signal: givenUp } = this.#givenUp;
    givenUp.throwIfAborted();
    this.#stage = "its process reads the weights";
    const [runtime, facts] = await SupervisedRuntime.start(
      {
        clock,
        start: async (signal) => {
          const options = { ...load, ...memory.loadOptions(), folder, manifest, overDecoder: true };
          const started = { entry: executorEntry, load: options, clock, loadTimeoutMs, signal };
          const process = await RuntimeProcess.start(started);
          memory.loaded(process);
          return this.#checkSame(process);
        },
        onRestart: (reason, detail, outOfMemory) => {
          telemetry.emit({ type: "restart", dictionary: id, reason });
          const smaller = outOfMemory && memory.shrink() ? ", without its Gram matrix" : "";
          const why = reason === "watchdog" ? "it gave no answer" : detail.replace(/\.$/, "");
          const message = `The process of the pursuit over the decoder of ${id} is being restarted${smaller}: ${why}.`;
          log("error", message, { dictionary: id, reason });
        },
        onRan: (run) =>
          telemetry.emit({
            type: "stage",
            stage: "runtime",
            dictionary: id,
            span: run,
            start: run.start,
            end: run.end,
          }),
        onRecovered: (anew) => {
          this.#chosen = anew.chosen;
          this.#made?.gramTask.begin();
          log("info", `The pursuit over the decoder of ${id} is back.`, { dictionary: id });
        },
        onFailed: (faults) => {
          this.#made?.memory.release();
          this.#made = null;
          this.#fail(null, faults, clock.now() + RETRY_AFTER);
        },
      },
      givenUp,
    );
    const widths = { dIn: manifest.dIn, warmUp: facts.warmUp };
    this.#chosen = facts.chosen;
    this.#made = {
      runtime,
      memory,
      queue: createQueue(id, runtime, widths, this.#options),
      gramTask: this.#gramTaskOf(runtime, memory),
    };
    this.#made.gramTask.begin();
    this.#failed = null;
    const { path } = facts.chosen;
    log("info", `The pursuit over the decoder of ${id} is ready: ${path} path.`, {
      dictionary: id,
      seconds: Math.round(clock.now() - this.#began) / 1000,
    });
    if (memory.warning !== null) log("warn", memory.warning, { dictionary: id });
  }

  #gramTaskOf(runtime: SupervisedRuntime, memory: DictionaryMemory): GramTask {
    const { background, watchdogMs, log } = this.#options;
    const { id } = this.#source;
    return new GramTask({
      runtime,
      background,
      limit: watchdogMs,
      onStep: ({ chosen, note }: GramProgress) => {
        this.#chosen = chosen;
        memory.pathChanged(chosen);
        if (note !== undefined) log("info", `${id}, pursuit over its decoder: ${note}`, { dictionary: id });
      },
      onFailed: (error) => {
        const why = faultsOf(error).join(" ");
        log("warn", `The pursuit over the decoder of ${id} serves as it was loaded: ${why}`, { dictionary: id });
      },
    });
  }

  /** The codes of one answer and those of `own` belong to one version. @throws Fault */
  async #checkSame(process: RuntimeProcess): Promise<RuntimeProcess> {
    const { id, sha256 } = this.#source;
    if (process.facts.sha256 === sha256) return process;
    await process.close();
    throw new Fault("broken", [
      `Its weights file changed since it was loaded. POST /v2/repository/models/${id}/load serves the new file.`,
    ]);
  }

  /** Keeps the error, so that requests do not start one doomed process after another. */
  #fail(cause: unknown, faults: readonly string[], until: number): EngineError {
    const { id } = this.#source;
    this.#chosen = null;
    const words = faults.join(" ");
    const error =
      cause instanceof Fault && cause.code === "memory_limit"
        ? new EngineError("PURSUIT_MEMORY_FULL", `encoder: ${words}`)
        : new EngineError(
            "PURSUIT_DICTIONARY_FAILED",
            `encoder: the pursuit over the decoder of ${id} cannot run: ${words}`,
            {
              retryAfter: RETRY_AFTER / 1000,
            },
          );
    this.#failed = { error, until };
    this.#options.log("error", `The pursuit over the decoder of ${id} cannot run: ${words}`, { dictionary: id });
    return error;
  }
}
