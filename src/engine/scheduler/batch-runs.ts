import type { Clock } from "../core/clock.ts";
import { EngineError } from "../core/errors.ts";
import type { ShedReason } from "../core/telemetry.ts";
import type { CoreClient, Turn } from "./core-lease.ts";
import type { Lane, Lanes } from "./lanes.ts";
import { type Entry, type Executor, ExecutorCrash, type Piece, type Work } from "./work.ts";
import type { WaitEstimator } from "./wait-estimator.ts";

/**
 * Factor by which a request may exceed the wait limit. A good prediction is a few percent off, and a late refusal costs
 * the server most of what an answer costs.
 */
const LEEWAY = 1.05;

/** Rows that run together. */
export interface Batch<W extends Work, R> {
  readonly parts: readonly BatchPart<W, R>[];
  /** Predicted, at the prices of admission. */
  readonly cost: number;
}

/** A piece, and its request. */
export interface BatchPart<W extends Work, R> {
  readonly piece: Piece<W>;
  readonly entry: Entry<W, R>;
}

export interface BatchFormerOptions<W extends Work, R> {
  readonly lanes: Lanes<W, R>;
  readonly estimator: WaitEstimator<W, R>;
  readonly clock: Clock;
  /** Milliseconds that a request may wait behind others before its first row runs (times LEEWAY). */
  readonly maxWaitMs: number;
  readonly onShed: (reason: ShedReason) => void;
  /** Called with the number of rows that went into a batch. */
  readonly onHanded: (rows: number) => void;
}

/**
 * Forms batches from the waiting work: whole requests of the first lane up to the room of a batch, or a piece of a
 * larger one, by the turns of the lanes.
 */
export class BatchFormer<W extends Work, R> {
  readonly #options: BatchFormerOptions<W, R>;

  constructor(options: BatchFormerOptions<W, R>) {
    this.#options = options;
  }

  /** The next batch; null if nothing is left to serve. */
  form(): Batch<W, R> | null {
    const { lanes } = this.#options;
    while (lanes.rows > 0) {
      const batch = this.#takeFrom(lanes.next());
      if (batch.parts.length > 0) return batch;
    }
    return null;
  }

  #takeFrom(lane: Lane<W, R>): Batch<W, R> {
    const { lanes, estimator } = this.#options;
    const parts: BatchPart<W, R>[] = [];
    const isSmall = lane === lanes.small;
    const keep = estimator.keepOf(lane);
    // A row that costs more than the room is taken anyway; the lane then skips turns.
    const room = isSmall ? estimator.room : Math.min(lane.credit, estimator.room);
    let [used, cost] = [0, 0];
    for (let entry = this.#headOf(lane); entry !== undefined; entry = this.#headOf(lane)) {
      const { work, taken } = entry;
      const kept = work.degrade ? keep : 1;
      const [fits, price] = estimator.fit(work, taken, room - used, kept);
      const rows = fits === 0 && parts.length === 0 ? 1 : fits;
      if (isSmall && rows < work.count) {
        if (parts.length > 0) break;
        // Prices have risen since it came, and it no longer fits one batch.
        lanes.moveOn(entry);
        continue;
      }
      if (rows === 0) break;
      used += fits === 0 ? estimator.costOf(work, taken, taken + 1, kept) : price;
      cost += lane.hand(entry, rows, kept);
      parts.push({ piece: { work, from: taken, to: taken + rows, keep: kept }, entry });
      this.#options.onHanded(rows);
      if (entry.place !== null) break;
    }
    lane.credit = lane.head === undefined ? 0 : lane.credit - used;
    return { parts, cost };
  }

  /**
   * The lane's first request, after refusing those that have waited too long: the machine may do less than predicted,
   * and late answers to all would help nobody.
   */
  #headOf(lane: Lane<W, R>): Entry<W, R> | undefined {
    const { clock, maxWaitMs, onShed, estimator } = this.#options;
    for (let entry = lane.head; entry !== undefined; entry = lane.head) {
      const waited = clock.now() - entry.submitted;
      if (!entry.behindOthers || entry.started !== null || waited <= maxWaitMs * LEEWAY) return entry;
      onShed("queue_full");
      const message = `The rows have waited ${Math.ceil(waited)} ms, and the limit is ${maxWaitMs} ms: the work took longer than predicted.`;
      entry.fail(new EngineError("PURSUIT_QUEUE_FULL", message, { retryAfter: estimator.waitOf(lane) / 1000 }));
    }
    return undefined;
  }
}

export interface BatchRunsOptions<W extends Work, R> {
  readonly executor: Executor<W, R>;
  readonly holder: CoreClient;
  readonly clock: Clock;
  readonly estimator: WaitEstimator<W, R>;
  /** Rows that wait. */
  readonly waiting: () => number;
  /** Whether the waiting work is worth its own run, however soon the present one ends. */
  readonly worthARun: () => boolean;
  /** The next batch; null if no request is left. */
  readonly form: () => Batch<W, R> | null;
  /** Called after a successful run. */
  readonly onRun: () => void;
}

interface Run {
  /** Cost of the whole run. */
  readonly predicted: number;
  /** Resolves when its rows are answered, with or without results. */
  readonly done: Promise<void>;
}

/**
 * Runs one dictionary's batches, one after another, under a lease of the cores. The next batch is sent ahead during a
 * run if the executor accepts it, no other client waits for the cores and it is worth a run: a busy event loop notices
 * the end of a run milliseconds late, and the cores would be idle meanwhile.
 *
 *     lease   ├──────── turn ────────┤ another client's ├── turn ─ …
 *     runs    ├── a ──┤── b ──┤── c ─┤                  ├── d ─ …
 *     sent    a  b      c      (others wait: nothing)    d
 *
 * No cores are held while the executor restarts or hangs. After a crash its pieces are retried one per turn, to find
 * the one that caused it; the answers of the others do not change.
 */
export class BatchRuns<W extends Work, R> {
  readonly #options: BatchRunsOptions<W, R>;
  /** The current turn, including the wait for cores. */
  #turn: Promise<void> | null = null;
  /** The executor's restart. */
  #restart: Promise<void> | null = null;
  #current: Run | null = null;
  #ahead: Run | null = null;
  /** Predicted end of everything sent. */
  #until = 0;
  /** End of the last run. */
  #ended = -Infinity;
  /** Pieces of crashed batches, each to be run alone. */
  readonly #suspects: BatchPart<W, R>[] = [];

  constructor(options: BatchRunsOptions<W, R>) {
    this.#options = options;
  }

  /** Predicted milliseconds until everything sent is done. */
  get remaining(): number {
    return this.#current === null ? 0 : Math.max(0, this.#until - this.#options.clock.now());
  }

  /** Whether there is anything to run. */
  get pending(): boolean {
    return this.#suspects.length > 0 || this.#options.waiting() > 0;
  }

  /** Starts a run if work waits. */
  pump(): void {
    const { holder, executor } = this.#options;
    if (this.#turn !== null) return this.#sendAhead();
    if (!this.pending) return holder.release();
    const restarted = executor.ready();
    if (restarted !== null) return this.#pumpAfter(restarted);
    // The batch is formed only once the cores are granted, so it counts requests that came or left until then.
    this.#turn = holder
      .hold((turn) => this.#takeTurn(turn))
      .finally(() => {
        this.#turn = null;
        this.pump();
      });
  }

  #pumpAfter(restarted: Promise<void>): void {
    this.#options.holder.release();
    this.#restart ??= restarted.finally(() => {
      this.#restart = null;
      this.pump();
    });
  }

  /** Resolves when nothing waits or runs. */
  async idle(): Promise<void> {
    while (this.#turn !== null || (this.#restart !== null && this.pending)) await (this.#turn ?? this.#restart);
  }

  async #takeTurn(turn: Turn): Promise<void> {
    const { clock, estimator, executor } = this.#options;
    // It may have ended while waiting for the cores.
    if (executor.ready() !== null) return;
    const suspect = this.#suspects.shift();
    if (suspect !== undefined) return this.#runAlone(suspect);
    for (let run = this.#send(); run !== null; run = this.#ahead) {
      this.#current = run;
      this.#ahead = null;
      const expected = estimator.measured(run.predicted);
      turn.expect(expected);
      this.#until = clock.now() + expected;
      this.#sendAhead();
      await run.done;
    }
    this.#current = null;
  }

  #sendAhead(): void {
    const { executor, holder, worthARun } = this.#options;
    if (!executor.takesAhead || this.#current === null || this.#ahead !== null) return;
    // Until the crash is resolved nothing else may crash the executor.
    if (this.#suspects.length > 0 || executor.ready() !== null || holder.contended || !worthARun()) return;
    this.#ahead = this.#send();
  }

  #send(): Run | null {
    const { clock, estimator, executor, form } = this.#options;
    // All requests may have left while waiting for the cores.
    const batch = form();
    if (batch === null) return null;
    const predicted = batch.cost + executor.overhead;
    this.#until = Math.max(clock.now(), this.#until) + estimator.measured(predicted);
    return { predicted, done: this.#run(batch, predicted, this.#current?.done) };
  }

  /** @param before resolves when the previous run is done */
  async #run({ parts }: Batch<W, R>, predicted: number, before: Promise<void> | undefined): Promise<void> {
    const { executor, clock, estimator, onRun } = this.#options;
    const sent = clock.now();
    try {
      const results = await executor.run(parts.map(({ piece }) => piece));
      await before;
      const now = clock.now();
      estimator.learn(predicted, now - Math.max(sent, this.#ended));
      this.#ended = now;
      onRun();
      deliver(parts, results);
    } catch (error) {
      if (!(error instanceof ExecutorCrash)) return refuse(parts, error);
      await before;
      this.#suspects.push(...parts);
    }
  }

  async #runAlone(part: BatchPart<W, R>): Promise<void> {
    if (part.entry.settled) return;
    try {
      deliver([part], await this.#options.executor.run([part.piece]));
    } catch (error) {
      const crashed = new EngineError(
        "PURSUIT_RUNTIME_CRASHED",
        "These rows crashed the runtime process twice. Please report them.",
        {
          cause: error,
        },
      );
      part.entry.fail(error instanceof ExecutorCrash ? crashed : error);
    }
  }
}

function deliver<W extends Work, R>(parts: readonly BatchPart<W, R>[], results: readonly R[]): void {
  if (results.length !== parts.length) {
    const message = `the executor answered ${results.length} of ${parts.length} pieces`;
    return refuse(parts, new Error(message));
  }
  for (const [i, { piece, entry }] of parts.entries()) entry.deliver(piece.from, results[i]!);
}

function refuse<W extends Work, R>(parts: readonly BatchPart<W, R>[], error: unknown): void {
  for (const { entry } of parts) entry.fail(error);
}
