import type { Work } from "./executor.ts";
import { Ring } from "./ring.ts";

/** A request in the queue. */
export interface Entry<W extends Work, R> {
  readonly work: W;
  readonly submitted: number;
  /** Whether others waited when it came. */
  readonly behindOthers: boolean;
  /** Predicted cost of the rows not handed out yet, as asked, */
  full: number;
  /** and when they are shortened as far as they may be. */
  least: number;
  /** Rows handed to batches so far. */
  taken: number;
  /** Pieces running or waiting to be run again. */
  outstanding: number;
  readonly results: { from: number; result: R }[];
  started: number | null;
  settled: boolean;
  /** Where it waits, and its place there; null once all its rows are handed out. */
  place: { readonly lane: Lane<W, R>; ticket: number } | null;
  readonly resolve: (served: Served<R>) => void;
  readonly reject: (error: unknown) => void;
  stopWatching: () => void;
}

/** The results of a work's pieces in row order, and how long its first row waited. */
export interface Served<R> {
  readonly results: readonly R[];
  readonly queueMilliseconds: number;
}

/** Requests of about one size, first come, first served, and what all of them are predicted to cost. */
export class Lane<W extends Work, R> {
  /** Cost that it may take in this turn; negative after a row that cost more than a turn (deficit round robin). */
  credit = 0;
  readonly #ring = new Ring<Entry<W, R>>();
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
    return this.#ring.peek();
  }

  /** Puts it at the end. */
  add(entry: Entry<W, R>): void {
    entry.place = { lane: this, ticket: this.#ring.push(entry) };
    this.#count(entry.work.count - entry.taken, entry.full, entry.least);
  }

  /** Takes it out, wherever it is. @returns rows that it still had to hand out */
  remove(entry: Entry<W, R>): number {
    const left = entry.work.count - entry.taken;
    if (entry.place?.lane !== this || !this.#ring.remove(entry.place.ticket)) return 0;
    entry.place = null;
    this.#count(-left, -entry.full, -entry.least);
    return left;
  }

  /** Hands out that many more of its rows; it leaves with the last. @returns their cost at the price it came in with */
  hand(entry: Entry<W, R>, rows: number, keep: number): number {
    const left = entry.work.count - entry.taken;
    if (rows === left) {
      const { full, least } = entry;
      this.remove(entry);
      entry.taken += rows;
      return least + (full - least) * keep;
    }
    const full = (entry.full * rows) / left;
    const least = (entry.least * rows) / left;
    entry.taken += rows;
    entry.full -= full;
    entry.least -= least;
    this.#count(-rows, -full, -least);
    return least + (full - least) * keep;
  }

  /** Sets the costs of all that waits anew, at today's prices. */
  reprice(price: (entry: Entry<W, R>) => void): void {
    let [full, least] = [0, 0];
    for (const entry of this.#ring) {
      price(entry);
      full += entry.full;
      least += entry.least;
    }
    this.#full = full;
    this.#least = least;
  }

  #count(rows: number, full: number, least: number): void {
    this.#rows += rows;
    // Sums of many additions and subtractions: an empty lane starts from nothing again.
    this.#full = this.#rows === 0 ? 0 : Math.max(0, this.#full + full);
    this.#least = this.#rows === 0 ? 0 : Math.max(0, this.#least + least);
  }
}
