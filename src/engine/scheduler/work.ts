import type { Cancellation } from "../core/cancellation.ts";
import type { Clock } from "../core/clock.ts";
import { clientClosed, EngineError } from "../core/errors.ts";
import type { ShedReason } from "../core/telemetry.ts";
import type { Lane } from "./lanes.ts";
import type { Cost } from "./wait-estimator.ts";

/** Rows of one request: their number, and until when they matter. */
export interface Work {
  /** Rows in it, ≥ 1. */
  readonly count: number;
  /** Cancelled when the client has disconnected. */
  readonly cancellation: Cancellation;
  /** Clock milliseconds after which the answer is useless. */
  readonly deadline?: number;
  /** Whether its rows may be shortened to avoid a long wait. */
  readonly degrade?: boolean;
  /** Whether all its rows cost the same, so that pricing one is enough. */
  readonly uniform?: boolean;
}

/** Rows [from, to) of a work: a large one is split over several batches. */
export interface Piece<W extends Work> {
  readonly work: W;
  readonly from: number;
  readonly to: number;
  /** Share of their cost beyond the minimum that its rows may keep: 1 as asked, 0 the minimum. */
  readonly keep: number;
}

/**
 * Runs batches, one after another in the order of the calls. Costs are predicted milliseconds of the whole lease, so
 * that queues of different dictionaries add up.
 */
export interface Executor<W extends Work, R> {
  /** Cores per run. */
  readonly cores: number;
  /** Target cost of one batch, not to be exceeded; a single row always fits. */
  readonly capacity: number;
  /** Predicted cost of a run beyond its rows. */
  readonly overhead: number;
  /** Whether `run` may be called during a run, so that the next batch is already there when it ends. */
  readonly takesAhead: boolean;
  /** null if a batch would run at once; otherwise resolves, and never rejects, after a restart or hang: ask again. */
  ready(): Promise<void> | null;
  /** Predicted cost of one row of this work with this share kept (see {@link Piece}), > 0. */
  rowCost(work: W, row: number, keep: number): number;
  /**
   * Returns one result per piece, in order.
   * @throws ExecutorCrash when it ended during this batch: the scheduler then sends the pieces again one by one
   */
  run(pieces: readonly Piece<W>[]): Promise<readonly R[]>;
}

/** The executor ended during a batch. It restarts by itself and may be used again. */
export class ExecutorCrash extends Error {
  override readonly name = "ExecutorCrash";
}

/** Results of a work's pieces in row order, and the wait of its first row. */
export interface Served<R> {
  readonly results: readonly R[];
  readonly queueMilliseconds: number;
}

export interface EntryOptions<W extends Work> {
  readonly work: W;
  /** Predicted cost of all its rows. */
  readonly cost: Cost;
  /** Whether others waited when it came. */
  readonly behindOthers: boolean;
  readonly clock: Clock;
  /** Called when it ends unserved, by its client or its deadline. */
  readonly onShed: (reason: ShedReason) => void;
  /** Called with the number of its rows that left the queue without being dispatched. */
  readonly onDropped: (rows: number) => void;
}

/** A request in the queue, from admission to answer. */
export class Entry<W extends Work, R> {
  readonly work: W;
  readonly submitted: number;
  readonly behindOthers: boolean;
  /** Resolves with its results, or rejects with the reason. */
  readonly served: Promise<Served<R>>;
  /** Predicted cost of the rows not dispatched yet. */
  cost: Cost;
  /** Rows dispatched so far. */
  taken = 0;
  /** Time of the first dispatch. */
  started: number | null = null;
  /** Its lane and place there; null once all its rows are dispatched. */
  place: { readonly lane: Lane<W, R>; readonly ticket: number } | null = null;
  readonly #options: EntryOptions<W>;
  readonly #results: { from: number; result: R }[] = [];
  /** Pieces running or waiting for a retry. */
  #outstanding = 0;
  #settled = false;
  #resolve!: (served: Served<R>) => void;
  #reject!: (error: unknown) => void;
  #stopTimer: (() => void) | null = null;

  /** From now on its client's disconnect and its deadline end it, at once if they have happened already. */
  constructor(options: EntryOptions<W>) {
    const { work, cost, behindOthers, clock } = options;
    this.#options = options;
    this.work = work;
    this.cost = cost;
    this.behindOthers = behindOthers;
    this.submitted = clock.now();
    this.served = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#watch();
  }

  /** Whether it has been answered, with or without results. */
  get settled(): boolean {
    return this.#settled;
  }

  /** Records that a piece goes into a batch. */
  dispatch(): void {
    this.#outstanding++;
    this.started ??= this.#options.clock.now();
  }

  /** Takes the result of a piece that starts at row `from`. The last one answers the request. */
  deliver(from: number, result: R): void {
    this.#outstanding--;
    // Client gone: drop the result, it may be large.
    if (this.#settled) return;
    this.#results.push({ from, result });
    if (this.place !== null || this.#outstanding > 0) return;
    this.#end();
    this.#results.sort((a, b) => a.from - b.from);
    this.#resolve({
      results: this.#results.map((part) => part.result),
      queueMilliseconds: (this.started ?? this.submitted) - this.submitted,
    });
  }

  /** Ends it without results; waiting rows leave the queue. */
  fail(error: unknown): void {
    if (this.#settled) return;
    this.#end();
    this.#results.length = 0;
    this.#reject(error);
  }

  #end(): void {
    this.#settled = true;
    this.#options.work.cancellation.unlisten(this.#onCancel);
    this.#stopTimer?.();
    const dropped = this.place?.lane.remove(this) ?? 0;
    if (dropped > 0) this.#options.onDropped(dropped);
  }

  #watch(): void {
    const { clock, work } = this.#options;
    const { cancellation, deadline } = work;
    if (cancellation.cancelled) return this.#onCancel();
    if (deadline !== undefined && deadline <= this.submitted) return this.#onDeadline();
    cancellation.listen(this.#onCancel);
    if (deadline !== undefined) this.#stopTimer = clock.after(deadline - this.submitted, () => this.#onDeadline());
  }

  readonly #onCancel = (): void => this.#leave("client_closed", clientClosed());

  #onDeadline(): void {
    this.#leave("timeout", new EngineError("PURSUIT_TIMEOUT", "timeout_ms passed before the rows were encoded."));
  }

  #leave(reason: ShedReason, error: EngineError): void {
    if (this.#settled) return;
    this.#options.onShed(reason);
    this.fail(error);
  }
}
