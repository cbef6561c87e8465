import type { Clock } from "../clock.ts";
import { EngineError } from "../errors.ts";
import type { ShedReason } from "../observer.ts";
import type { CoreLease, LeaseHolder } from "./core-lease.ts";
import { type Executor, ExecutorCrash, type Piece, type Work } from "./executor.ts";
import { type Entry, Lane, type Served } from "./lane.ts";
import { Pace } from "./pace.ts";

export interface BatchQueueOptions<W extends Work, R> {
  readonly executor: Executor<W, R>;
  readonly lease: CoreLease;
  readonly clock: Clock;
  /**
   * Milliseconds of predicted waiting over which a request is refused, and of real waiting after which one is that was
   * admitted behind others. One that finds nobody waiting is admitted.
   */
  readonly maxWait: number;
  /** Rows waiting at most, whatever they are predicted to cost; one request alone may pass it. */
  readonly maxRows: number;
  /** Milliseconds of predicted waiting over which rows that allow it are shortened. */
  readonly degradeWait: number;
  readonly onShed: (reason: ShedReason) => void;
  /** Rows that came into the queue (positive) or left it (negative). */
  readonly onQueued: (change: number) => void;
}

/** So that rows which fill a batch exactly are not one too many by the last bit of a division. */
const ROUNDING = 1e-9;

/** A request that fits one batch waits in the first lane, one of up to 8 batches in the second, then 64, then any. */
const LANE_GROWTH = 8;
const LANES = 4;

/** Of a batch, what a larger request gets at a time while small ones come: they wait for that long, not for a batch. */
const SHARED_TURN = 1 / 4;

/** Runs after which prices are taken to be settled. */
const COLD_RUNS = 16;

/** Milliseconds for which small ones are thought to keep coming. */
const SHARED_FOR = 1000;

/**
 * One dictionary's queue and batcher. Requests wait by size: those that fit one batch, and larger ones in lanes by how
 * many batches they fill. The lanes take turns by cost (deficit round robin, Shreedhar and Varghese 1995), each first
 * come, first served, so a request waits for its equals before it and for as much again of every other lane, never for
 * all of a large one. A large one is taken in pieces, joined again by row.
 *
 *     submit ─▶ ≤ 1 batch     [ e f g h ] ─▶ whole, up to capacity ─┐
 *               ≤ 8 batches   [ D ]       ─▶ a piece ───────────────┼─ in turns ─▶ run ─▶ results joined by row
 *               ≤ 64, more    [ B C ]     ─▶ a piece ───────────────┘
 *
 * A request whose client has gone or whose deadline has passed leaves at once. What is refused is refused before it
 * waits: admission goes by the predicted wait, at the pace that batches really have, with what runs now and what other
 * dictionaries' work takes of the same cores.
 */
export class BatchQueue<W extends Work, R> {
  readonly #options: BatchQueueOptions<W, R>;
  readonly #lanes = Array.from({ length: LANES }, () => new Lane<W, R>());
  readonly #holder: LeaseHolder;
  readonly #pace = new Pace();
  readonly #owners = new WeakMap<Piece<W>, Entry<W, R>>();
  #running: Promise<void> | null = null;
  /** When the present run is predicted to end. */
  #runsUntil = 0;
  /** Runs measured. */
  #runs = 0;
  /** The lane served last. */
  #turn = 0;
  /** When a request that fits one batch came last. */
  #smallCame = -Infinity;
  #draining = false;

  constructor(options: BatchQueueOptions<W, R>) {
    this.#options = options;
    const backlog = { running: () => this.#runningFor(), total: () => this.#backlog() };
    this.#holder = options.lease.join(backlog, options.executor.cores);
    this.#holder.wishesAgain = () => this.#rows() > 0;
  }

  /** Predicted milliseconds until a small request that comes now would start. */
  get predictedWait(): number {
    return this.#waitOf(this.#lanes[0]!);
  }

  /**
   * What is known of a request before its body is read: refused now if it would be whatever it holds.
   * @throws EngineError PURSUIT_QUEUE_FULL, PURSUIT_DRAINING
   */
  admit(): void {
    const refusal = this.#refusal(this.#lanes[0]!);
    if (refusal === null) return;
    this.#options.onShed(refusal.reason);
    throw refusal.error;
  }

  /**
   * Queues a work and resolves with its results.
   * @throws EngineError PURSUIT_QUEUE_FULL, PURSUIT_DRAINING, PURSUIT_TIMEOUT, PURSUIT_CLIENT_CLOSED,
   *   PURSUIT_RUNTIME_CRASHED; or what the executor threw.
   */
  submit(work: W): Promise<Served<R>> {
    const { clock, onShed, onQueued } = this.#options;
    const full = this.#costOf(work, 0, work.count, 1);
    const least = work.degrade ? this.#costOf(work, 0, work.count, 0) : full;
    const lane = this.#laneOf(full, work.count);
    const refusal = this.#refusal(lane) ?? this.#tooLate(work, lane, least);
    if (refusal !== null) {
      onShed(refusal.reason);
      return Promise.reject(refusal.error);
    }
    return new Promise((resolve, reject) => {
      const entry: Entry<W, R> = {
        work,
        submitted: clock.now(),
        behindOthers: this.#rows() > 0,
        full,
        least,
        taken: 0,
        outstanding: 0,
        results: [],
        started: null,
        settled: false,
        place: null,
        resolve,
        reject,
        stopWatching: () => {},
      };
      if (!this.#watch(entry)) return;
      lane.add(entry);
      if (lane === this.#lanes[0]) this.#smallCame = clock.now();
      onQueued(work.count);
      this.#pump();
    });
  }

  /** Refuses new work, and resolves when all that was accepted is answered. */
  async drain(): Promise<void> {
    this.#draining = true;
    while (this.#running !== null) await this.#running;
    this.#holder.leave();
  }

  /** Why a request for this lane is refused now, whatever else it asks; null when it is not. */
  #refusal(lane: Lane<W, R>): { reason: ShedReason; error: EngineError } | null {
    const { maxWait, maxRows, executor } = this.#options;
    if (this.#draining) {
      const message = "This dictionary is being unloaded.";
      return { reason: "draining", error: new EngineError("PURSUIT_DRAINING", message, { retryAfter: 1 }) };
    }
    const rows = this.#rows();
    if (rows === 0) return null;
    // A warm-up of one row is no measure to turn anybody away by: until prices have settled, rows alone count.
    const wait = this.#runs < COLD_RUNS ? 0 : this.#waitOf(lane);
    if (wait <= maxWait && rows < maxRows) return null;
    const said = `${rows} rows wait, about ${Math.ceil(wait)} ms of work`;
    const limit = wait > maxWait ? `the limit is ${maxWait} ms` : `the limit is ${maxRows} rows`;
    const retryAfter = Math.max(wait - maxWait, executor.capacity) / 1000;
    return {
      reason: "queue_full",
      error: new EngineError("PURSUIT_QUEUE_FULL", `The queue is full: ${said}, and ${limit}.`, { retryAfter }),
    };
  }

  /** A request that would time out in the queue is told so at once: the time and the work are saved. */
  #tooLate({ deadline }: W, lane: Lane<W, R>, cost: number): { reason: ShedReason; error: EngineError } | null {
    // Only behind others, and by a measured pace: a request alone is let try.
    if (deadline === undefined || this.#rows() === 0 || this.#runs < COLD_RUNS) return null;
    const left = deadline - this.#options.clock.now();
    const needed = this.#waitOf(lane) + this.#timeOf(cost);
    if (left <= 0 || needed <= left) return null;
    const message = `The rows would be encoded in about ${Math.ceil(needed)} ms, and timeout_ms leaves ${Math.floor(left)} ms.`;
    const retryAfter = (needed - left) / 1000;
    return { reason: "deadline", error: new EngineError("PURSUIT_QUEUE_FULL", message, { retryAfter }) };
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
    if (this.#running !== null) return;
    if (this.#rows() === 0) return this.#holder.pass();
    this.#running = this.#holder
      // The batch is formed only when the cores are ours: whoever comes or leaves until then is counted.
      .hold(() => this.#runBatch(this.#take()))
      .finally(() => {
        this.#running = null;
        this.#pump();
      });
  }

  /** The next batch: from the lane whose turn it is, and what it is predicted to cost. */
  #take(): Batch<W> {
    const batch: Batch<W> = { pieces: [], cost: 0 };
    const [small] = this.#lanes;
    while (this.#rows() > 0 && batch.pieces.length === 0) {
      const lane = this.#nextLane();
      const keep = this.#keepOf(lane);
      // A row that costs more than there is room for is taken all the same, and the lane sits out turns for it.
      const room = lane === small ? this.#room() : Math.min(lane.credit, this.#room());
      let used = 0;
      for (let entry = this.#headOf(lane); entry !== undefined; entry = this.#headOf(lane)) {
        const { work, taken } = entry;
        const kept = work.degrade ? keep : 1;
        const [fits, cost] = this.#fit(work, taken, room - used, kept);
        const rows = fits === 0 && batch.pieces.length === 0 ? 1 : fits;
        if (lane === small && rows < work.count) {
          if (batch.pieces.length > 0) break;
          // Prices have risen since it came, and it no longer fits one batch.
          this.#move(entry);
          continue;
        }
        if (rows === 0) break;
        used += fits === 0 ? this.#costOf(work, taken, taken + 1, kept) : cost;
        this.#hand(batch, entry, rows, kept);
        if (entry.place !== null) break;
      }
      lane.credit = lane.head === undefined ? 0 : lane.credit - used;
    }
    return batch;
  }

  /**
   * The lane's first request, after those that have waited longer than anybody may: predictions are kept by what a
   * machine goes on to do, and when it does less, late answers to all would help nobody.
   */
  #headOf(lane: Lane<W, R>): Entry<W, R> | undefined {
    const { clock, maxWait, onShed } = this.#options;
    for (let entry = lane.head; entry !== undefined; entry = lane.head) {
      const waited = clock.now() - entry.submitted;
      if (!entry.behindOthers || entry.started !== null || waited <= maxWait) return entry;
      onShed("queue_full");
      const message = `The rows have waited ${Math.ceil(waited)} ms, and the limit is ${maxWait} ms: work took longer than it was predicted to.`;
      this.#settle(entry, new EngineError("PURSUIT_QUEUE_FULL", message, { retryAfter: this.#waitOf(lane) / 1000 }));
    }
    return undefined;
  }

  /** The next lane with rows and credit. Each visited gets its turn's credit, so a lane in debt comes to be served. */
  #nextLane(): Lane<W, R> {
    for (;;) {
      this.#turn = (this.#turn + 1) % LANES;
      const lane = this.#lanes[this.#turn]!;
      if (lane.head === undefined) continue;
      const allowance = this.#allowanceOf(lane);
      lane.credit = Math.min(lane.credit + allowance, allowance);
      if (lane.credit > 0) return lane;
    }
  }

  /** Cost that a lane may take in one turn. */
  #allowanceOf(lane: Lane<W, R>): number {
    const room = this.#room();
    const shared = this.#options.clock.now() - this.#smallCame < SHARED_FOR;
    if (lane === this.#lanes[0] || !shared) return room;
    // Not under the overhead of a run, or large ones would be mostly that.
    return Math.min(room, Math.max(room * SHARED_TURN, this.#options.executor.overhead));
  }

  /** Cost of rows that one batch has room for. */
  #room(): number {
    const { capacity, overhead } = this.#options.executor;
    return Math.max(capacity - overhead, capacity / 2);
  }

  #hand(batch: Batch<W>, entry: Entry<W, R>, rows: number, keep: number): void {
    const { work, taken } = entry;
    const piece = { work, from: taken, to: taken + rows, keep };
    batch.pieces.push(piece);
    batch.cost += entry.place!.lane.hand(entry, rows, keep);
    this.#owners.set(piece, entry);
    entry.outstanding++;
    entry.started ??= this.#options.clock.now();
    this.#options.onQueued(-rows);
  }

  #price(entry: Entry<W, R>): void {
    const { work, taken } = entry;
    entry.full = this.#costOf(work, taken, work.count, 1);
    entry.least = work.degrade ? this.#costOf(work, taken, work.count, 0) : entry.full;
  }

  #reprice(): void {
    for (const lane of this.#lanes) lane.reprice((entry) => this.#price(entry));
  }

  /** Puts a request that turns out dearer than its lane is for into the one that it belongs to. */
  #move(entry: Entry<W, R>): void {
    entry.place!.lane.remove(entry);
    this.#price(entry);
    const lane = this.#laneOf(entry.full, entry.work.count);
    (lane === this.#lanes[0] ? this.#lanes[1]! : lane).add(entry);
  }

  #laneOf(cost: number, rows: number): Lane<W, R> {
    const batches = cost / this.#room();
    if (rows === 1 || batches <= 1) return this.#lanes[0]!;
    return this.#lanes[Math.min(LANES - 1, Math.ceil(Math.log(batches) / Math.log(LANE_GROWTH)))]!;
  }

  #costOf(work: W, from: number, to: number, keep: number): number {
    const { executor } = this.#options;
    if (work.uniform) return (to - from) * executor.rowCost(work, from, keep);
    let cost = 0;
    for (let row = from; row < to; row++) cost += executor.rowCost(work, row, keep);
    return cost;
  }

  /** How many rows from there on fit into the room, and their cost. */
  #fit(work: W, from: number, room: number, keep: number): [rows: number, cost: number] {
    const { executor } = this.#options;
    const left = work.count - from;
    if (work.uniform) {
      const each = executor.rowCost(work, from, keep);
      const rows = Math.max(0, Math.min(left, Math.floor(room / each + ROUNDING)));
      return [rows, rows * each];
    }
    let cost = 0;
    for (let rows = 0; rows < left; rows++) {
      const more = cost + executor.rowCost(work, from + rows, keep);
      if (more > room) return [rows, cost];
      cost = more;
    }
    return [left, cost];
  }

  #rows(): number {
    let rows = 0;
    for (const lane of this.#lanes) rows += lane.rows;
    return rows;
  }

  /** Milliseconds that runs of this cost take together. */
  #timeOf(cost: number): number {
    const runs = Math.ceil(cost / this.#room());
    return this.#pace.of(cost + runs * this.#options.executor.overhead);
  }

  /** Milliseconds that a lane's rows will take: as asked, or, where that is too long, with those shortened that may be. */
  #lengthOf(lane: Lane<W, R>): number {
    return Math.max(this.#timeOf(lane.least), Math.min(this.#timeOf(lane.full), this.#options.degradeWait));
  }

  /** What is left of the present run. */
  #runningFor(): number {
    return this.#running === null ? 0 : Math.max(0, this.#runsUntil - this.#options.clock.now());
  }

  #backlog(): number {
    let length = this.#runningFor();
    for (const lane of this.#lanes) length += this.#lengthOf(lane);
    return length;
  }

  /** Predicted milliseconds until a request that joins this lane now would start. */
  #waitOf(lane: Lane<W, R>): number {
    return this.#delayOf(lane, this.#lengthOf(lane));
  }

  /** The same if the lane's own rows took so long: what runs, the others' turns, and other dictionaries'. */
  #delayOf(lane: Lane<W, R>, length: number): number {
    const allowance = this.#allowanceOf(lane);
    let own = this.#runningFor() + length;
    for (const other of this.#lanes) {
      if (other === lane || other.head === undefined) continue;
      const turn = this.#allowanceOf(other);
      const turns = Math.max(1, Math.ceil(length / this.#timeOf(allowance)));
      own += Math.min(this.#lengthOf(other), turns * this.#timeOf(turn));
    }
    return this.#holder.delay(own);
  }

  /** Of what rows of this lane that may be shortened would cost beyond their least, the share that the wait allows. */
  #keepOf(lane: Lane<W, R>): number {
    let { full, least } = lane;
    // A large request does not wait for itself.
    if (lane !== this.#lanes[0] && lane.head !== undefined) {
      full -= lane.head.full;
      least -= lane.head.least;
    }
    if (!(full > least)) return 1;
    const wait = this.#delayOf(lane, this.#timeOf(full));
    const { degradeWait } = this.#options;
    if (wait <= degradeWait) return 1;
    return Math.min(1, Math.max(0, ((full * degradeWait) / wait - least) / (full - least)));
  }

  async #runBatch({ pieces, cost }: Batch<W>): Promise<void> {
    // Between the wish for cores and the grant everybody may have gone.
    if (pieces.length === 0) return;
    const { executor, clock } = this.#options;
    const predicted = cost + executor.overhead;
    const started = clock.now();
    this.#runsUntil = started + this.#pace.of(predicted);
    try {
      const results = await executor.run(pieces);
      this.#pace.learn(predicted, clock.now() - started);
      // Prices move most at first, when those who wait have come in at guesses.
      if (this.#runs++ < COLD_RUNS) this.#reprice();
      this.#deliver(pieces, results);
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
      // Whoever has gone has no use for it, and it is no small thing to keep.
      if (entry.settled) continue;
      entry.results.push({ from: piece.from, result: results[i]! });
      if (entry.place === null && entry.outstanding === 0) this.#settle(entry);
    }
  }

  #refuse(pieces: readonly Piece<W>[], error: unknown): void {
    for (const piece of pieces) this.#settle(this.#owners.get(piece)!, error);
  }

  #settle(entry: Entry<W, R>, error?: unknown): void {
    if (entry.settled) return;
    entry.settled = true;
    entry.stopWatching();
    const dropped = entry.place?.lane.remove(entry) ?? 0;
    if (dropped > 0) this.#options.onQueued(-dropped);
    if (error !== undefined) {
      entry.results.length = 0;
      return entry.reject(error);
    }
    entry.results.sort((a, b) => a.from - b.from);
    entry.resolve({
      results: entry.results.map(({ result }) => result),
      queueMilliseconds: (entry.started ?? entry.submitted) - entry.submitted,
    });
  }
}

interface Batch<W extends Work> {
  readonly pieces: Piece<W>[];
  /** Predicted, at the prices that its requests came in with. */
  cost: number;
}
