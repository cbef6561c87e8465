import type { Clock } from "../core/clock.ts";
import type { Entry } from "./entry.ts";
import type { Work } from "./executor.ts";
import { Lane } from "./lane.ts";
import type { Prices } from "./prices.ts";

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
  readonly #prices: Prices<W>;
  readonly #clock: Clock;
  /** The lane served last. */
  #turn = 0;
  /** When a request that fits one batch came last. */
  #smallCame = -Infinity;

  constructor(prices: Prices<W>, clock: Clock) {
    this.#prices = prices;
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
    const batches = cost / this.#prices.room;
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
    const { room, overhead } = this.#prices;
    if (lane === this.small || !this.#shared) return room;
    // Not under the overhead of a run, or large ones would be mostly that.
    return Math.min(room, Math.max(room * SHARED_TURN, overhead));
  }

  #price(entry: Entry<W, R>): void {
    entry.cost = this.#prices.fromRow(entry.work, entry.taken);
  }
}
