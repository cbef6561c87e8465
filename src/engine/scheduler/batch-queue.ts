import type { Clock } from "../core/clock.ts";
import { EngineError } from "../core/errors.ts";
import type { ShedReason } from "../core/telemetry.ts";
import { BatchFormer, BatchRuns } from "./batch-runs.ts";
import type { CoreLease, CoreClient } from "./core-lease.ts";
import { type Lane, Lanes } from "./lanes.ts";
import { WaitEstimator } from "./wait-estimator.ts";
import { Entry, type Executor, type Served, type Work } from "./work.ts";

export interface BatchQueueOptions<W extends Work, R> {
  readonly executor: Executor<W, R>;
  readonly lease: CoreLease;
  readonly clock: Clock;
  /**
   * Maximum queue wait in milliseconds. Longer predicted waits are refused with 429; so are requests behind others that
   * actually exceed it. An empty queue always admits.
   */
  readonly maxWaitMs: number;
  /** Maximum rows waiting, whatever their predicted cost; a single request may exceed it. */
  readonly maxRows: number;
  /** Predicted wait in milliseconds above which rows that allow it are shortened. */
  readonly degradeMs: number;
  readonly onShed: (reason: ShedReason) => void;
  /** Called with the number of rows that joined the queue (positive) or left it (negative). */
  readonly onQueued: (change: number) => void;
}

/** Runs after which the cost model counts as settled. */
const COLD_RUNS = 16;

/** Waiting work gets its own run when it costs this many times a run's overhead. */
const WORTH_A_RUN = 2;

/**
 * One dictionary's queue and batcher. Requests wait in lanes by size, and the lanes take turns (lanes.ts). A large
 * request is run in pieces and joined again by row.
 *
 *     submit ─▶ ≤ 1 batch     [ e f g h ] ─▶ whole, up to capacity ─┐
 *               ≤ 8 batches   [ D ]       ─▶ a piece ───────────────┼─ in turns ─▶ run ─▶ results joined by row
 *               ≤ 64, more    [ B C ]     ─▶ a piece ───────────────┘
 *
 * A request leaves at once when its client disconnects or its deadline passes. Requests are refused before they wait:
 * admission uses the predicted wait (wait-estimator.ts) at the measured speed of batches, with the running batches and
 * the work of other dictionaries on the same cores.
 */
export class BatchQueue<W extends Work, R> {
  readonly #options: BatchQueueOptions<W, R>;
  readonly #lanes: Lanes<W, R>;
  readonly #holder: CoreClient;
  readonly #estimator: WaitEstimator<W, R>;
  readonly #runs: BatchRuns<W, R>;
  /** Batches measured, until the costs have settled. */
  #measured = 0;
  #draining = false;

  constructor(options: BatchQueueOptions<W, R>) {
    this.#options = options;
    const { executor, lease, clock, maxWaitMs, degradeMs, onShed, onQueued } = options;
    const running = (): number => this.#runs.remaining;
    const holder = lease.join({ running, total: () => this.#estimator.backlog() }, executor.cores);
    holder.mayRequeue = () => this.#runs.pending;
    const estimator = new WaitEstimator<W, R>({ executor, holder, lanes: () => this.#lanes, running, degradeMs });
    const lanes = new Lanes<W, R>(estimator, clock);
    const onHanded = (rows: number): void => onQueued(-rows);
    const former = new BatchFormer({ lanes, estimator, clock, maxWaitMs, onShed, onHanded });
    this.#lanes = lanes;
    this.#holder = holder;
    this.#estimator = estimator;
    this.#runs = new BatchRuns({
      executor,
      holder,
      clock,
      estimator,
      waiting: () => lanes.rows,
      worthARun: () => lanes.cost >= estimator.overhead * WORTH_A_RUN,
      form: () => former.form(),
      onRun: () => this.#settlePrices(),
    });
  }

  /** Predicted milliseconds until a small request would start now. */
  get predictedWait(): number {
    return this.#estimator.waitOf(this.#lanes.small);
  }

  /**
   * Refuses a request before its body is read, if it would be refused whatever it holds.
   * @throws EngineError PURSUIT_QUEUE_FULL, PURSUIT_DRAINING
   */
  admit(): void {
    const refusal = this.#refusal(this.#lanes.small);
    if (refusal === null) return;
    this.#options.onShed(refusal.reason);
    throw refusal.error;
  }

  /**
   * Queues a work and resolves with its results.
   * @throws EngineError PURSUIT_QUEUE_FULL, PURSUIT_DRAINING, PURSUIT_TIMEOUT, PURSUIT_CLIENT_CLOSED,
   *   PURSUIT_RUNTIME_CRASHED; or the executor's error
   */
  submit(work: W): Promise<Served<R>> {
    const { clock, onShed, onQueued } = this.#options;
    const cost = this.#estimator.costFrom(work, 0);
    const lane = this.#lanes.laneOf(cost.full, work.count);
    const refusal = this.#refusal(lane) ?? this.#tooLate(work, lane, cost.least);
    if (refusal !== null) {
      onShed(refusal.reason);
      return Promise.reject(refusal.error);
    }
    const behindOthers = this.#lanes.rows > 0;
    const onDropped = (rows: number): void => onQueued(-rows);
    const entry = new Entry<W, R>({ work, cost, behindOthers, clock, onShed, onDropped });
    if (!entry.settled) {
      this.#lanes.add(entry);
      onQueued(work.count);
      this.#runs.pump();
    }
    return entry.served;
  }

  /** Refuses new work, and resolves when all accepted work is answered. */
  async drain(): Promise<void> {
    this.#draining = true;
    await this.#runs.idle();
    this.#holder.leave();
  }

  /** Why a request for this lane is refused now, independent of its own fields; null if it is not. */
  #refusal(lane: Lane<W, R>): Refusal | null {
    const { maxWaitMs, maxRows, executor } = this.#options;
    if (this.#draining) {
      const message = "This dictionary is being unloaded.";
      return { reason: "draining", error: new EngineError("PURSUIT_DRAINING", message, { retryAfter: 1 }) };
    }
    const { rows } = this.#lanes;
    if (rows === 0) return null;
    // A warm-up of one row is no basis to refuse anyone: until costs have settled, only rows count.
    const wait = this.#measured < COLD_RUNS ? 0 : this.#estimator.waitOf(lane);
    if (wait <= maxWaitMs && rows < maxRows) return null;
    const said = `${rows} rows wait, about ${Math.ceil(wait)} ms of work`;
    const limit = wait > maxWaitMs ? `the limit is ${maxWaitMs} ms` : `the limit is ${maxRows} rows`;
    const retryAfter = Math.max(wait - maxWaitMs, executor.capacity) / 1000;
    return {
      reason: "queue_full",
      error: new EngineError("PURSUIT_QUEUE_FULL", `The queue is full: ${said}, and ${limit}.`, { retryAfter }),
    };
  }

  /** Refuses a request that would time out in the queue at once: that saves its time and its work. */
  #tooLate({ deadline }: W, lane: Lane<W, R>, cost: number): Refusal | null {
    // Only behind others, and only with a measured speed: a request alone may try.
    if (deadline === undefined || this.#lanes.rows === 0 || this.#measured < COLD_RUNS) return null;
    const left = deadline - this.#options.clock.now();
    const needed = this.#estimator.waitOf(lane) + this.#estimator.timeOf(cost);
    if (left <= 0 || needed <= left) return null;
    const message = `The rows would be encoded in about ${Math.ceil(needed)} ms, and timeout_ms leaves ${Math.floor(left)} ms.`;
    const retryAfter = (needed - left) / 1000;
    return { reason: "deadline", error: new EngineError("PURSUIT_QUEUE_FULL", message, { retryAfter }) };
  }

  /** Costs change most at first, while queued requests still carry first guesses. */
  #settlePrices(): void {
    if (this.#measured === COLD_RUNS) return;
    this.#measured++;
    this.#lanes.reprice();
  }
}

interface Refusal {
  readonly reason: ShedReason;
  readonly error: EngineError;
}
