import type { Cancellation } from "../core/cancellation.ts";
import type { Clock } from "../core/clock.ts";
import { clientClosed, EngineError } from "../core/errors.ts";
import type { ShedReason } from "../core/telemetry.ts";
import type { Lane } from "./lanes.ts";
import type { Cost } from "./wait-estimator.ts";

/** Rows of one request, as the scheduler sees them: how many, and until when they matter. */
export interface Work {
  /** Rows in it, ≥ 1. */
  readonly count: number;
  /** Cancelled when nobody waits for the answer any more. */
  readonly cancellation: Cancellation;
  /** Clock milliseconds after which the answer is worthless. */
  readonly deadline?: number;
  /** Whether its rows may be shortened rather than wait long. */
  readonly degrade?: boolean;
  /** Whether all its rows cost the same: then one is asked for, not all. */
  readonly uniform?: boolean;
}

/** Rows [from, to) of a work: a large one is spread over several batches. */
export interface Piece<W extends Work> {
  readonly work: W;
  readonly from: number;
  readonly to: number;
  /** Of what its rows would cost beyond their least, the share that they may: 1 as asked, 0 the least. */
  readonly keep: number;
}

/**
 * What runs batches, one after another in the order of the calls. Handed to the scheduler.
 * Costs are predicted milliseconds of the whole lease, so that queues of different dictionaries add up.
 */
export interface Executor<W extends Work, R> {
  /** Cores that a run occupies. */
  readonly cores: number;
  /** Cost that one batch should reach and not pass; a single row always fits. */
  readonly capacity: number;
  /** Predicted cost of a run beyond that of its rows. */
  readonly overhead: number;
  /** Whether `run` may be called while it runs a batch, so that the next one is there when that ends; else it is not. */
  readonly takesAhead: boolean;
  /** null if a batch would run at once; else resolves, and never rejects, when a restart or a hang is over: ask again. */
  ready(): Promise<void> | null;
  /** Predicted cost of one row of this work when it keeps that share of what it may cost (see {@link Piece}), > 0. */
  rowCost(work: W, row: number, keep: number): number;
  /**
   * One result per piece, in order.
   * @throws ExecutorCrash when it ended under this batch: the scheduler then sends the pieces again one by one.
   */
  run(pieces: readonly Piece<W>[]): Promise<readonly R[]>;
}

/** The executor ended while it ran a batch. It may be used again: it restarts by itself. */
export class ExecutorCrash extends Error {
  override readonly name = "ExecutorCrash";
}

/** The results of a work's pieces in row order, and how long its first row waited. */
export interface Served<R> {
  readonly results: readonly R[];
  readonly queueMilliseconds: number;
}

export interface EntryOptions<W extends Work> {
  readonly work: W;
  /** Predicted of all its rows. */
  readonly cost: Cost;
  /** Whether others waited when it came. */
  readonly behindOthers: boolean;
  readonly clock: Clock;
  /** It is over before it was served, by its client or its deadline. */
  readonly onShed: (reason: ShedReason) => void;
  /** Rows left the queue with it that were never handed out. */
  readonly onDropped: (rows: number) => void;
}

/** A request in the queue, from when it is admitted until it is answered. */
export class Entry<W extends Work, R> {
  readonly work: W;
  readonly submitted: number;
  readonly behindOthers: boolean;
  /** What it comes to: its results, or why there are none. */
  readonly served: Promise<Served<R>>;
  /** Predicted of the rows not handed out yet. */
  cost: Cost;
  /** Rows handed to batches so far. */
  taken = 0;
  /** When the first of them was. */
  started: number | null = null;
  /** Where it waits, and its place there; null once all its rows are handed out. */
  place: { readonly lane: Lane<W, R>; readonly ticket: number } | null = null;
  readonly #options: EntryOptions<W>;
  readonly #results: { from: number; result: R }[] = [];
  /** Pieces running or waiting to be run again. */
  #outstanding = 0;
  #settled = false;
  #resolve!: (served: Served<R>) => void;
  #reject!: (error: unknown) => void;
  #stopTimer: (() => void) | null = null;

  /** Its client's hang-up and its deadline end it from now on, at once where they have come. */
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

  /** Whether it has been answered, with results or without. */
  get settled(): boolean {
    return this.#settled;
  }

  /** A piece of it goes into a batch now. */
  handOut(): void {
    this.#outstanding++;
    this.started ??= this.#options.clock.now();
  }

  /** The result of a piece of it, from that row on. The last one answers it. */
  deliver(from: number, result: R): void {
    this.#outstanding--;
    // Whoever has gone has no use for it, and it is no small thing to keep.
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

  /** Ends it without results; rows that still wait leave the queue. */
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
