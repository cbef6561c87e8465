import type { Clock } from "../core/clock.ts";
import type { Entry, Work } from "./work.ts";
import type { WaitEstimator } from "./wait-estimator.ts";

/** Empty places at the front after which they are reclaimed. */
const LEAST_DROPPED = 64;

/** Requests of similar size, first come, first served, and their predicted cost. */
export class Lane<W extends Work, R> {
  /** Cost left to the lane in this turn; negative after a row that cost more than a turn (deficit round robin). */
  credit = 0;
  /** In order of arrival; undefined for entries that have left. */
  #entries: (Entry<W, R> | undefined)[] = [];
  /** Tickets are ever-growing positions: of the first place, and of the oldest entry. */
  #first = 0;
  #oldest = 0;
  #rows = 0;
  #full = 0;
  #least = 0;

  get rows(): number {
    return this.#rows;
  }

  /** Cost of all waiting rows, as asked. */
  get full(): number {
    return this.#full;
  }

  /** Cost of all waiting rows, with shortened rows at their minimum. */
  get least(): number {
    return this.#least;
  }

  get head(): Entry<W, R> | undefined {
    return this.#entries[this.#oldest - this.#first];
  }

  /** Appends an entry. */
  add(entry: Entry<W, R>): void {
    entry.place = { lane: this, ticket: this.#first + this.#entries.push(entry) - 1 };
    this.#count(entry.work.count - entry.taken, entry.cost.full, entry.cost.least);
  }

  /** Removes an entry from any place. @returns its rows that were not dispatched */
  remove(entry: Entry<W, R>): number {
    const left = entry.work.count - entry.taken;
    if (entry.place?.lane !== this) return 0;
    // Release it at once: it may be large. Its place is reclaimed with those before it.
    this.#entries[entry.place.ticket - this.#first] = undefined;
    entry.place = null;
    this.#dropPlaces();
    this.#count(-left, -entry.cost.full, -entry.cost.least);
    return left;
  }

  /**
   * Takes that many rows of an entry; the entry leaves with its last row. @returns their cost at the price of admission
   */
  hand(entry: Entry<W, R>, rows: number, keep: number): number {
    const left = entry.work.count - entry.taken;
    const share = rows / left;
    const full = entry.cost.full * share;
    const least = entry.cost.least * share;
    if (rows === left) this.remove(entry);
    else {
      entry.cost = { full: entry.cost.full - full, least: entry.cost.least - least };
      this.#count(-rows, -full, -least);
    }
    entry.taken += rows;
    entry.dispatch();
    return least + (full - least) * keep;
  }

  /** Recomputes the costs of all waiting entries. */
  reprice(price: (entry: Entry<W, R>) => void): void {
    let [full, least] = [0, 0];
    for (const entry of this.#entries) {
      if (entry === undefined) continue;
      price(entry);
      full += entry.cost.full;
      least += entry.cost.least;
    }
    this.#full = full;
    this.#least = least;
  }

  /** Advances to the oldest entry, and sometimes reclaims the places before it. */
  #dropPlaces(): void {
    const { length } = this.#entries;
    let gone = this.#oldest - this.#first;
    while (gone < length && this.#entries[gone] === undefined) gone++;
    this.#oldest = this.#first + gone;
    if (gone < length && (gone < LEAST_DROPPED || gone * 2 < length)) return;
    this.#entries = this.#entries.slice(gone);
    this.#first = this.#oldest;
  }

  #count(rows: number, full: number, least: number): void {
    this.#rows += rows;
    // Sums of many additions and subtractions drift: an empty lane restarts at zero.
    this.#full = this.#rows === 0 ? 0 : Math.max(0, this.#full + full);
    this.#least = this.#rows === 0 ? 0 : Math.max(0, this.#least + least);
  }
}

/** A request that fits one batch waits in the first lane, one of up to 8 batches in the second, then 64, then any. */
const LANE_GROWTH = 8;
const LANES = 4;

/**
 * Share of a batch that a larger request gets per turn while small ones come, so that they do not wait for a whole
 * batch.
 */
const SHARED_TURN = 1 / 4;

/** Milliseconds for which small requests are expected to keep coming after the last one. */
const SHARED_FOR = 1000;

/**
 * A dictionary's waiting requests by size. The lanes take turns by cost (deficit round robin, Shreedhar and Varghese
 * 1995), each first come, first served. A request thus waits for its equals before it and for as much again of every
 * other lane, never for all of a large one.
 */
export class Lanes<W extends Work, R> implements Iterable<Lane<W, R>> {
  /** Lane of requests that fit one batch. */
  readonly small: Lane<W, R>;
  readonly #lanes = Array.from({ length: LANES }, () => new Lane<W, R>());
  readonly #estimator: WaitEstimator<W, R>;
  readonly #clock: Clock;
  /** The lane served last. */
  #turn = 0;
  /** Arrival of the last request that fits one batch. */
  #smallCame = -Infinity;

  constructor(estimator: WaitEstimator<W, R>, clock: Clock) {
    this.#estimator = estimator;
    this.#clock = clock;
    this.small = this.#lanes[0]!;
  }

  [Symbol.iterator](): Iterator<Lane<W, R>> {
    return this.#lanes.values();
  }

  /** Waiting rows. */
  get rows(): number {
    let rows = 0;
    for (const lane of this.#lanes) rows += lane.rows;
    return rows;
  }

  /** Cost, as asked, of the work that may be sent ahead. It leaves out large requests while small ones come. */
  get cost(): number {
    if (this.#shared) return this.small.full;
    let cost = 0;
    for (const lane of this.#lanes) cost += lane.full;
    return cost;
  }

  /** Whether larger requests should leave room for small ones. */
  get #shared(): boolean {
    return this.#clock.now() - this.#smallCame < SHARED_FOR;
  }

  /** The lane for a request of that many rows. @param cost as asked */
  laneOf(cost: number, rows: number): Lane<W, R> {
    const batches = cost / this.#estimator.room;
    if (rows === 1 || batches <= 1) return this.small;
    return this.#lanes[Math.min(LANES - 1, Math.ceil(Math.log(batches) / Math.log(LANE_GROWTH)))]!;
  }

  add(entry: Entry<W, R>): void {
    const lane = this.laneOf(entry.cost.full, entry.work.count);
    lane.add(entry);
    if (lane === this.small) this.#smallCame = this.#clock.now();
  }

  /** Moves an entry of the first lane that has become too expensive for it to its proper lane. */
  moveOn(entry: Entry<W, R>): void {
    this.small.remove(entry);
    this.#price(entry);
    const lane = this.laneOf(entry.cost.full, entry.work.count);
    (lane === this.small ? this.#lanes[1]! : lane).add(entry);
  }

  /** Recomputes all costs at the present prices. */
  reprice(): void {
    for (const lane of this.#lanes) lane.reprice((entry) => this.#price(entry));
  }

  /**
   * The next lane with rows and credit; some lane must have rows. Each visited lane gets its turn's credit, so a lane
   * in debt recovers.
   */
  next(): Lane<W, R> {
    for (;;) {
      this.#turn = (this.#turn + 1) % LANES;
      const lane = this.#lanes[this.#turn]!;
      if (lane.head === undefined) continue;
      const allowance = this.allowanceOf(lane);
      lane.credit = Math.min(lane.credit + allowance, allowance);
      if (lane.credit > 0) return lane;
    }
  }

  /** Cost that a lane may take in one turn. */
  allowanceOf(lane: Lane<W, R>): number {
    const { room, overhead } = this.#estimator;
    if (lane === this.small || !this.#shared) return room;
    // At least the overhead of a run, or large ones would be mostly overhead.
    return Math.min(room, Math.max(room * SHARED_TURN, overhead));
  }

  #price(entry: Entry<W, R>): void {
    entry.cost = this.#estimator.costFrom(entry.work, entry.taken);
  }
}
