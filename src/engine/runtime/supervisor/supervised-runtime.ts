import { Fault } from "../../core/errors.ts";
import { type Clock, fromMachine, pause } from "../../core/clock.ts";
import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { CodesToDecode, Correlations } from "../../core/sparse-codes.ts";
import type { Neighbour, RuntimeState } from "../../core/dictionary.ts";
import type { BatchResult, Interval, RestartReason, Span } from "../../core/telemetry.ts";
import type { SteerBatch, SteeredBatch } from "../../core/steer-batch.ts";
import {
  codesFromColumns,
  codesToDecodeColumns,
  correlationsFromColumns,
  rowsFromColumns,
  steerColumns,
  steeredFromColumns,
  normsFromColumns,
} from "../protocol/columns.ts";
import type { OutgoingColumns } from "../protocol/frame.ts";
import type { GramProgress, LoadedFacts } from "../protocol/messages.ts";
import { type CallTime, ranOutOfMemory, RuntimeGone, type RuntimeProcess } from "./runtime-process.ts";

/** A batch whose rows may still be in several pieces of memory; the socket's write joins them. */
export interface OutgoingBatch extends Omit<EncodeBatch, "rows" | "targets"> {
  readonly rows: readonly Float32Array[];
  readonly targets?: readonly Float32Array[];
}

export interface SupervisedRuntimeOptions {
  /** Starts one process; called again after each crash. Aborted when the process is no longer wanted. */
  readonly start: (signal: AbortSignal) => Promise<RuntimeProcess>;
  readonly clock: Clock;
  /**
   * Called when a process has ended, or a restart failed; another start follows.
   * @param outOfMemory whether it probably had too little memory
   */
  readonly onRestart: (reason: RestartReason, detail: string, outOfMemory: boolean) => void;
  /** Called when a call for a request ran in the process, by this thread's `performance.now()`, under this trace context. */
  readonly onRan: (run: Interval & Span) => void;
  /** Called when a restarted process is ready. */
  readonly onRecovered: (facts: LoadedFacts) => void;
  /** Called when the dictionary can no longer be loaded: this runtime answers nothing from now on. */
  readonly onFailed: (faults: readonly string[]) => void;
}

/** First pause between two restarts, in milliseconds; each crash without a success between doubles it. */
const FIRST_PAUSE = 50;
/** Longest pause: a GPU that comes back should not wait much longer. */
const LONGEST_PAUSE = 10_000;

/**
 * A runtime process that is restarted when it ends. Calls during a restart wait for the new process. Calls in flight
 * reject with {@link RuntimeGone}; their caller decides whether to send them again.
 */
export class SupervisedRuntime {
  readonly #options: SupervisedRuntimeOptions;
  #current: Promise<RuntimeProcess>;
  /** The process that answers; null while one starts, and after the last one. */
  #live: RuntimeProcess | null;
  /** No further process will start. */
  #over = false;
  #crashes = 0;
  #hurried = false;
  readonly #closing = new AbortController();

  private constructor(options: SupervisedRuntimeOptions, first: RuntimeProcess) {
    this.#options = options;
    this.#current = Promise.resolve(first);
    this.#live = first;
    this.#watch(first);
  }

  /** @throws the error of the first start, which is not retried */
  static async start(
    options: SupervisedRuntimeOptions,
    signal: AbortSignal,
  ): Promise<[SupervisedRuntime, LoadedFacts]> {
    const first = await options.start(signal);
    return [new SupervisedRuntime(options, first), first.facts];
  }

  /** One batch → codes, and the milliseconds it ran. @throws RuntimeGone, Fault, Error */
  async encode(batch: OutgoingBatch, time: CallTime, span?: Span): Promise<BatchResult> {
    const { rows, targets, count, budgets, trace, reconstruction, pursuit } = batch;
    const { head, frame } = await this.#call(
      { type: "encode", count, trace, reconstruction, ...(pursuit && { pursuit }) },
      { rows, ...(targets && { targets }), ...budgets },
      time,
      span,
    );
    const codes = codesFromColumns({ count: head.count ?? count, width: head.width ?? 0 }, frame.columns);
    this.#crashes = 0;
    return { codes, milliseconds: head.run.end - head.run.start };
  }

  /** Codes → rows [count · d]. */
  async decode(codes: CodesToDecode, time: CallTime, span?: Span): Promise<Float32Array> {
    const { frame } = await this.#call({ type: "decode", count: codes.count }, codesToDecodeColumns(codes), time, span);
    return rowsFromColumns(frame.columns);
  }

  async steer(batch: SteerBatch, time: CallTime, span?: Span): Promise<SteeredBatch> {
    const { frame } = await this.#call({ type: "steer", count: batch.count }, steerColumns(batch), time, span);
    return steeredFromColumns(frame.columns);
  }

  /** The `most` largest correlations of each of `count` rows. */
  async correlations(
    rows: Float32Array,
    count: number,
    most: number,
    time: CallTime,
    span?: Span,
  ): Promise<Correlations> {
    const { frame } = await this.#call({ type: "correlations", count, most }, { rows }, time, span);
    return correlationsFromColumns(frame.columns);
  }

  /** Atoms by index → [indices.length · d]. */
  async atoms(indices: Uint32Array, time: CallTime, span?: Span): Promise<Float32Array> {
    const { frame } = await this.#call({ type: "atoms" }, { indices }, time, span);
    return rowsFromColumns(frame.columns);
  }

  async neighbours(index: number, count: number, time: CallTime, span?: Span): Promise<readonly Neighbour[]> {
    const { head } = await this.#call({ type: "neighbours", index, count }, {}, time, span);
    return head.neighbours ?? [];
  }

  /** Atoms nearest to a row [d_out] less the centre, by cosine. */
  async nearest(row: Float32Array, count: number, time: CallTime, span?: Span): Promise<readonly Neighbour[]> {
    const { head } = await this.#call({ type: "nearest", count }, { rows: row }, time, span);
    return head.neighbours ?? [];
  }

  /** ||D_j|| of every atom [m]. */
  async atomNorms(time: CallTime, span?: Span): Promise<Float64Array> {
    const { frame } = await this.#call({ type: "norms" }, {}, time, span);
    return normsFromColumns(frame.columns);
  }

  /** Builds the next block of the Gram matrix (~10 ms). @returns the progress */
  async buildGramStep(time: CallTime): Promise<GramProgress> {
    const { head } = await this.#call({ type: "gram_step" }, {}, time);
    if (head.gram === undefined) throw new Error("the runtime did not say what it has become");
    return head.gram;
  }

  /**
   * null if a call would be sent or fail at once; otherwise resolves, and never rejects, when that may be so. Wait for
   * it before taking cores: a restart takes as long as a load, a hung process as long as its watchdog.
   */
  ready(): Promise<void> | null {
    if (this.#over || this.#closing.signal.aborted) return null;
    return this.#live?.gone === null ? this.#live.overdue : this.#settled();
  }

  /** `hung` when a call takes many times its predicted time. */
  get state(): RuntimeState {
    if (this.ready() === null) return "running";
    return this.#live?.gone === null ? "hung" : "restarting";
  }

  /** {@link RuntimeProcess.hurry} for this process and every later one. */
  hurry(): void {
    this.#hurried = true;
    this.#live?.hurry();
  }

  /** Process id; undefined while one starts. For operators and tests. */
  async pid(): Promise<number | undefined> {
    return (await this.#current).pid;
  }

  /** Ends the process for good, after the calls in flight. */
  async close(): Promise<void> {
    this.#closing.abort();
    const process = await this.#current.catch(() => null);
    await process?.close();
  }

  async #settled(): Promise<void> {
    // The watchdog may still be ending it: start no successor before it has ended.
    await this.#live?.ended;
    await this.#current.catch(() => {});
  }

  /** @param span of the request or batch that it is for; none for work of its own */
  async #call(head: Parameters<RuntimeProcess["call"]>[0], columns: OutgoingColumns, time: CallTime, span?: Span) {
    for (let restarted = this.ready(); restarted !== null; restarted = this.ready()) await restarted;
    const { traceparent } = span ?? {};
    const traced = traceparent === undefined ? head : { ...head, traceparent };
    const answer = await (await this.#current).call(traced, columns, time);
    const { run } = answer.head;
    if (span !== undefined) this.#options.onRan({ ...run, start: fromMachine(run.start), end: fromMachine(run.end) });
    return answer;
  }

  #watch(process: RuntimeProcess): void {
    void process.ended.then((how) => {
      if (this.#closing.signal.aborted) return;
      this.#live = null;
      const { reason = "crash", killed = false } = process.gone ?? {};
      this.#current = this.#restart(reason, how, killed);
      // Later calls see the rejection; without any, it must not end the server.
      this.#current.catch(() => {});
    });
  }

  async #restart(reason: RestartReason, how: string, wasKilled: boolean): Promise<RuntimeProcess> {
    const { start, clock, onRestart, onRecovered, onFailed } = this.#options;
    const { signal } = this.#closing;
    for (let detail = how, outOfMemory = wasKilled; ;) {
      onRestart(reason, detail, outOfMemory);
      const wait = Math.min(FIRST_PAUSE * 2 ** (this.#crashes - 1), LONGEST_PAUSE);
      if (this.#crashes > 0) await pause(clock, wait, signal);
      if (signal.aborted) throw new RuntimeGone("crash", "The runtime is closing.");
      this.#crashes++;
      try {
        const process = await start(signal);
        if (this.#hurried) process.hurry();
        this.#live = process;
        this.#watch(process);
        onRecovered(process.facts);
        return process;
      } catch (error) {
        if (error instanceof Fault && error.code === "broken") {
          this.#over = true;
          onFailed(error.faults);
          throw error;
        }
        detail = error instanceof Error ? error.message : String(error);
        outOfMemory = ranOutOfMemory(error);
      }
    }
  }
}
