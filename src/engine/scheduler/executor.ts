import type { Cancellation } from "../core/cancellation.ts";

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
