import type { Clock } from "../clock.ts";
import { EngineError } from "../errors.ts";
import type { ShedReason } from "../observer.ts";
import type { CoreLease } from "./core-lease.ts";
import { type Executor, ExecutorCrash, type Piece, type Work } from "./executor.ts";

export interface BatchQueueOptions<W extends Work, R> {
  readonly executor: Executor<W, R>;
  readonly lease: CoreLease;
  readonly clock: Clock;
  /** Milliseconds of predicted waiting over which a request is refused. An empty queue always admits. */
  readonly maxWait: number;
  readonly onShed: (reason: ShedReason) => void;
  /** Rows that came into the queue (positive) or left it (negative). */
  readonly onQueued: (change: number) => void;
}

/** The results of a work's pieces in row order, and how long its first row waited. */
export interface Served<R> {
  readonly results: readonly R[];
  readonly queueMilliseconds: number;
}

interface Entry<W extends Work, R> {
  readonly work: W;
  readonly cost: number;
  readonly submitted: number;
  /** Rows handed to batches so far. */
  taken: number;
  /** Pieces running or waiting to be run again. */
  outstanding: number;
  readonly results: { from: number; result: R }[];
  started: number | null;
  settled: boolean;
  readonly resolve: (served: Served<R>) => void;
  readonly reject: (error: unknown) => void;
  stopWatching: () => void;
}

/**
 * One dictionary's queue and batcher. A batch is formed when the executor is free, from the head of the queue, up to
 * the executor's capacity. A request larger than a batch gives what fits and goes to the tail, so that small ones behind
 * it wait for one batch, not for all of it. A request whose client has gone or whose deadline has passed leaves at once.
 *
 *     submit ─▶ [ e₁ e₂ e₃ … ] ─▶ head until capacity ─▶ run ─▶ results joined by row
 *                     ▲                    │
 *                     └── rest of a large ─┘
 */
export class BatchQueue<W extends Work, R> {
  readonly #options: BatchQueueOptions<W, R>;
  /** In order of service. A Set: removal from the middle, on a hang-up, is as cheap as from the head. */
  readonly #waiting = new Set<Entry<W, R>>();
  #waitingRows = 0;
  #waitingCost = 0;
  #running: Promise<void> | null = null;
  #draining = false;

  constructor(options: BatchQueueOptions<W, R>) {
    this.#options = options;
  }

  /** Predicted milliseconds until a row that comes now would start. */
  get predictedWait(): number {
    return this.#waitingCost;
  }

  /**
   * Queues a work and resolves with its results.
   * @throws EngineError PURSUIT_QUEUE_FULL, PURSUIT_DRAINING, PURSUIT_TIMEOUT, PURSUIT_CLIENT_CLOSED,
   *   PURSUIT_RUNTIME_CRASHED; or what the executor threw.
   */
  submit(work: W): Promise<Served<R>> {
    const { clock, executor, maxWait, onShed } = this.#options;
    if (this.#draining) {
      onShed("draining");
      return Promise.reject(
        new EngineError("PURSUIT_DRAINING", "This dictionary is being unloaded.", { retryAfter: 1 }),
      );
    }
    const wait = this.predictedWait;
    if (wait > maxWait) {
      onShed("queue_full");
      const seconds = Math.max(1, Math.ceil((wait - maxWait) / 1000));
      const message = `The queue is full: ${this.#waitingRows} rows wait, about ${Math.ceil(wait)} ms of work, and the limit is ${maxWait} ms.`;
      return Promise.reject(new EngineError("PURSUIT_QUEUE_FULL", message, { retryAfter: seconds }));
    }
    return new Promise((resolve, reject) => {
      const entry: Entry<W, R> = {
        work,
        cost: executor.rowCost(work),
        submitted: clock.now(),
        taken: 0,
        outstanding: 0,
        results: [],
        started: null,
        settled: false,
        resolve,
        reject,
        stopWatching: () => {},
      };
      if (!this.#watch(entry)) return;
      this.#waiting.add(entry);
      this.#count(entry.work.count, entry);
      this.#pump();
    });
  }

  /** Refuses new work, and resolves when all that was accepted is answered. */
  async drain(): Promise<void> {
    this.#draining = true;
    while (this.#running !== null) await this.#running;
  }

  /** Ends the wait of an entry on hang-up or deadline. False when it is over before it began. */
  #watch(entry: Entry<W, R>): boolean {
    const { clock, onShed } = this.#options;
    const { signal, deadline } = entry.work;
    const leave = (reason: ShedReason, error: EngineError): void => {
      if (entry.settled) return;
      onShed(reason);
      this.#settle(entry, error);
    };
    const onAbort = (): void =>
      leave("client_closed", new EngineError("PURSUIT_CLIENT_CLOSED", "The client closed the connection."));
    const onDeadline = (): void =>
      leave("timeout", new EngineError("PURSUIT_TIMEOUT", "timeout_ms passed before the rows were encoded."));
    if (signal.aborted) onAbort();
    else if (deadline !== undefined && deadline <= clock.now()) onDeadline();
    if (entry.settled) return false;
    signal.addEventListener("abort", onAbort, { once: true });
    const cancel = deadline === undefined ? (): void => {} : clock.after(deadline - clock.now(), onDeadline);
    entry.stopWatching = () => {
      signal.removeEventListener("abort", onAbort);
      cancel();
    };
    return true;
  }

  #pump(): void {
    if (this.#running !== null || this.#waiting.size === 0) return;
    const { lease, executor } = this.#options;
    this.#running = lease
      // The batch is formed only when the cores are ours: whoever comes or leaves until then is counted.
      .hold(executor.cores, () => this.#runBatch(this.#take()))
      .finally(() => {
        this.#running = null;
        this.#pump();
      });
  }

  /** The next batch, from the head of the queue. */
  #take(): Piece<W>[] {
    const { executor, clock } = this.#options;
    const pieces: Piece<W>[] = [];
    const entries: Entry<W, R>[] = [];
    let room = executor.capacity;
    for (const entry of this.#waiting) {
      const left = entry.work.count - entry.taken;
      const fits = Math.floor(room / entry.cost);
      const rows = Math.min(left, pieces.length === 0 ? Math.max(1, fits) : fits);
      if (rows < 1) break;
      const piece = { work: entry.work, from: entry.taken, to: entry.taken + rows };
      pieces.push(piece);
      entries.push(entry);
      this.#owners.set(piece, entry);
      entry.taken += rows;
      entry.outstanding++;
      entry.started ??= clock.now();
      room -= rows * entry.cost;
      this.#count(-rows, entry);
    }
    for (const entry of entries) {
      this.#waiting.delete(entry);
      if (entry.taken < entry.work.count) this.#waiting.add(entry);
    }
    return pieces;
  }

  readonly #owners = new WeakMap<Piece<W>, Entry<W, R>>();

  async #runBatch(pieces: readonly Piece<W>[]): Promise<void> {
    if (pieces.length === 0) return;
    try {
      this.#deliver(pieces, await this.#options.executor.run(pieces));
    } catch (error) {
      if (!(error instanceof ExecutorCrash)) return this.#refuse(pieces, error);
      // One of them may have ended it. Alone, each is judged by itself; the others' answers do not change.
      for (const piece of pieces) await this.#runAgain(piece);
    }
  }

  async #runAgain(piece: Piece<W>): Promise<void> {
    if (this.#owners.get(piece)!.settled) return;
    try {
      this.#deliver([piece], await this.#options.executor.run([piece]));
    } catch (error) {
      const crashed = new EngineError("PURSUIT_RUNTIME_CRASHED", "These rows ended the runtime process twice.", {
        cause: error,
      });
      this.#refuse([piece], error instanceof ExecutorCrash ? crashed : error);
    }
  }

  #deliver(pieces: readonly Piece<W>[], results: readonly R[]): void {
    if (results.length !== pieces.length) {
      const message = `the executor answered ${results.length} of ${pieces.length} pieces`;
      return this.#refuse(pieces, new Error(message));
    }
    for (const [i, piece] of pieces.entries()) {
      const entry = this.#owners.get(piece)!;
      entry.outstanding--;
      entry.results.push({ from: piece.from, result: results[i]! });
      if (entry.taken === entry.work.count && entry.outstanding === 0) this.#settle(entry);
    }
  }

  #refuse(pieces: readonly Piece<W>[], error: unknown): void {
    for (const piece of pieces) this.#settle(this.#owners.get(piece)!, error);
  }

  #settle(entry: Entry<W, R>, error?: unknown): void {
    if (entry.settled) return;
    entry.settled = true;
    entry.stopWatching();
    if (this.#waiting.delete(entry)) this.#count(entry.taken - entry.work.count, entry);
    if (error !== undefined) return entry.reject(error);
    entry.results.sort((a, b) => a.from - b.from);
    entry.resolve({
      results: entry.results.map(({ result }) => result),
      queueMilliseconds: (entry.started ?? entry.submitted) - entry.submitted,
    });
  }

  #count(rows: number, entry: Entry<W, R>): void {
    this.#waitingRows += rows;
    this.#waitingCost = this.#waitingRows === 0 ? 0 : this.#waitingCost + rows * entry.cost;
    this.#options.onQueued(rows);
  }
}
