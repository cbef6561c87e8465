import type { Clock } from "../core/clock.ts";
import type { Entry, Work } from "./work.ts";
import type { WaitEstimator } from "./wait-estimator.ts";

/** Places of entries that have left, from which on they are given back. */
const LEAST_DROPPED = 64;

/** Requests of about one size, first come, first served, and what all of them are predicted to cost. */
export class Lane<W extends Work, R> {
  /** Cost that it may take in this turn; negative after a row that cost more than a turn (deficit round robin). */
  credit = 0;
  /** In order of arrival; undefined where one has left. */
  #entries: (Entry<W, R> | undefined)[] = [];
  /** Tickets are positions that only grow: that of the first place, and of the oldest entry. */
  #first = 0;
  #oldest = 0;
  #rows = 0;
  #full = 0;
  #least = 0;

  get rows(): number {
    return this.#rows;
  }

  /** Cost of all that waits, as asked. */
  get full(): number {
    return this.#full;
  }

  /** Cost of all that waits when what may be shortened is, as far as can be. */
  get least(): number {
    return this.#least;
  }

  get head(): Entry<W, R> | undefined {
    return this.#entries[this.#oldest - this.#first];
  }

  /** Puts it at the end. */
  add(entry: Entry<W, R>): void {
    entry.place = { lane: this, ticket: this.#first + this.#entries.push(entry) - 1 };
    this.#count(entry.work.count - entry.taken, entry.cost.full, entry.cost.least);
  }

  /** Takes it out, wherever it is. @returns rows that it still had to hand out */
  remove(entry: Entry<W, R>): number {
    const left = entry.work.count - entry.taken;
    if (entry.place?.lane !== this) return 0;
    // Forgotten at once: it may be large. Its place goes when those before it have gone, too.
    this.#entries[entry.place.ticket - this.#first] = undefined;
    entry.place = null;
    this.#dropPlaces();
    this.#count(-left, -entry.cost.full, -entry.cost.least);
    return left;
  }

  /** Hands out that many more of its rows; it leaves with the last. @returns their cost at the price it came in with */
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
    entry.handOut();
    return least + (full - least) * keep;
  }

  /** Sets the costs of all that waits anew, at today's prices. */
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

  /** Moves on to the oldest entry, and now and then gives back the places before it. */
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
    // Sums of many additions and subtractions: an empty lane starts from nothing again.
    this.#full = this.#rows === 0 ? 0 : Math.max(0, this.#full + full);
    this.#least = this.#rows === 0 ? 0 : Math.max(0, this.#least + least);
  }
}

/** A request that fits one batch waits in the first lane, one of up to 8 batches in the second, then 64, then any. */
const LANE_GROWTH = 8;
const LANES = 4;

/** Of a batch, what a larger request gets at a time while small ones come: they wait for that long, not for a batch. */
const SHARED_TURN = 1 / 4;

/** Milliseconds for which small ones are thought to keep coming. */
const SHARED_FOR = 1000;

/**
 * A dictionary's waiting requests by size, and whose turn it is. The lanes take turns by cost (deficit round robin,
 * Shreedhar and Varghese 1995), each first come, first served, so a request waits for its equals before it and for as
 * much again of every other lane, never for all of a large one.
 */
export class Lanes<W extends Work, R> implements Iterable<Lane<W, R>> {
  /** Of requests that fit one batch. */
  readonly small: Lane<W, R>;
  readonly #lanes = Array.from({ length: LANES }, () => new Lane<W, R>());
  readonly #estimator: WaitEstimator<W, R>;
  readonly #clock: Clock;
  /** The lane served last. */
  #turn = 0;
  /** When a request that fits one batch came last. */
  #smallCame = -Infinity;

  constructor(estimator: WaitEstimator<W, R>, clock: Clock) {
    this.#estimator = estimator;
    this.#clock = clock;
    this.small = this.#lanes[0]!;
  }

  [Symbol.iterator](): Iterator<Lane<W, R>> {
    return this.#lanes.values();
  }

  /** Rows that wait. */
  get rows(): number {
    let rows = 0;
    for (const lane of this.#lanes) rows += lane.rows;
    return rows;
  }

  /** Cost, as asked, of what may be sent before its time: while small requests come, they must not find a large one there. */
  get cost(): number {
    if (this.#shared) return this.small.full;
    let cost = 0;
    for (const lane of this.#lanes) cost += lane.full;
    return cost;
  }

  /** Whether a larger request should leave room for small ones. */
  get #shared(): boolean {
    return this.#clock.now() - this.#smallCame < SHARED_FOR;
  }

  /** Where a request of that many rows waits. @param cost as asked */
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

  /** Puts one that waits in the first lane, and turns out dearer than that is for, into the one that it belongs to. */
  moveOn(entry: Entry<W, R>): void {
    this.small.remove(entry);
    this.#price(entry);
    const lane = this.laneOf(entry.cost.full, entry.work.count);
    (lane === this.small ? this.#lanes[1]! : lane).add(entry);
  }

  /** All that waits at today's prices. */
  reprice(): void {
    for (const lane of this.#lanes) lane.reprice((entry) => this.#price(entry));
  }

  /**
   * The next lane with rows and credit; some lane must have rows. Each visited gets its turn's credit, so a lane in debt
   * comes to be served.
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
    // Not under the overhead of a run, or large ones would be mostly that.
    return Math.min(room, Math.max(room * SHARED_TURN, overhead));
  }

  #price(entry: Entry<W, R>): void {
    entry.cost = this.#estimator.costFrom(entry.work, entry.taken);
  }
}
