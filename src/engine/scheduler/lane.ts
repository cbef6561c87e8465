import type { Entry } from "./entry.ts";
import type { Work } from "./executor.ts";
import { Ring } from "./ring.ts";

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
    this.#count(entry.work.count - entry.taken, entry.cost.full, entry.cost.least);
  }

  /** Takes it out, wherever it is. @returns rows that it still had to hand out */
  remove(entry: Entry<W, R>): number {
    const left = entry.work.count - entry.taken;
    if (entry.place?.lane !== this || !this.#ring.remove(entry.place.ticket)) return 0;
    entry.place = null;
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
    for (const entry of this.#ring) {
      price(entry);
      full += entry.cost.full;
      least += entry.cost.least;
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
