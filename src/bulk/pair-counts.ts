import type { SparseCodes } from "../engine/core/sparse-codes.ts";

/** Features up to which every pair has a counter of its own: 128 MiB. */
const MOST_DENSE = 8192;

/** Counters of a table for more features, and the share of them that may be taken. */
const SLOTS = 1 << 24;
const FILL = 0.7;

/** Active features of a row that are paired, where there are many features: the largest. */
const MOST_PAIRED = 64;

export interface PairState {
  /** Dense: the triangle of pairs i < j. Otherwise slots, `first` and `second` being their features. */
  readonly counts: Uint32Array;
  readonly first: Uint32Array;
  readonly second: Uint32Array;
  /** Slots taken, and the count that any pair may have lost so far. */
  readonly figures: Uint32Array;
}

/**
 * Rows in which two features are active together. Up to 8,192 features the counts are exact; for more, rare pairs are
 * forgotten when the table is full (lossy counting: Manku and Motwani 2002), and no count is too low by more than `lost`.
 */
export class PairCounts {
  readonly #m: number;
  #state: PairState;

  constructor(m: number, state = emptyState(m)) {
    this.#m = m;
    this.#state = state;
  }

  get state(): PairState {
    return this.#state;
  }

  get lost(): number {
    return this.#state.figures[1]!;
  }

  add({ count, indptr, indices, values }: SparseCodes): void {
    const dense = this.#m <= MOST_DENSE;
    for (let i = 0; i < count; i++) {
      let active: Uint32Array = indices.subarray(indptr[i], indptr[i + 1]);
      if (!dense && active.length > MOST_PAIRED) active = largest(active, values.subarray(indptr[i], indptr[i + 1]));
      for (let a = 0; a < active.length; a++) {
        for (let b = a + 1; b < active.length; b++) {
          if (dense) this.#state.counts[this.#triangle(active[a]!, active[b]!)]!++;
          else this.#count(active[a]!, active[b]!, 1);
        }
      }
    }
  }

  /** Calls `use` for every pair that was seen, i < j. */
  each(use: (i: number, j: number, count: number) => void): void {
    const { counts, first, second } = this.#state;
    if (this.#m > MOST_DENSE) {
      for (const [at, count] of counts.entries()) if (count > 0) use(first[at]!, second[at]!, count);
      return;
    }
    for (let i = 0, at = 0; i < this.#m; i++) {
      for (let j = i + 1; j < this.#m; j++, at++) if (counts[at]! > 0) use(i, j, counts[at]!);
    }
  }

  #triangle(i: number, j: number): number {
    return i * this.#m - (i * (i + 1)) / 2 + j - i - 1;
  }

  #count(i: number, j: number, by: number): void {
    const { counts, first, second, figures } = this.#state;
    let at = (Math.imul(i, 0x9e3779b1) ^ Math.imul(j, 0x85ebca77)) >>> 0;
    for (at = (at ^ (at >>> 15)) & (SLOTS - 1); counts[at]! > 0; at = (at + 1) & (SLOTS - 1)) {
      if (first[at] === i && second[at] === j) {
        counts[at]! += by;
        return;
      }
    }
    if (figures[0]! >= SLOTS * FILL) {
      this.#forget();
      this.#count(i, j, by);
      return;
    }
    first[at] = i;
    second[at] = j;
    counts[at] = by;
    figures[0]!++;
  }

  /** Takes one from every count; pairs that have none left lose their slot. */
  #forget(): void {
    const old = this.#state;
    this.#state = emptyState(this.#m);
    this.#state.figures[1] = old.figures[1]! + 1;
    for (const [at, count] of old.counts.entries()) {
      if (count > 1) this.#count(old.first[at]!, old.second[at]!, count - 1);
    }
  }
}

/** Indices of the largest magnitudes, ascending. */
function largest(indices: Uint32Array, values: Float32Array): Uint32Array {
  const order = Array.from(indices.keys()).sort((a, b) => Math.abs(values[b]!) - Math.abs(values[a]!));
  return Uint32Array.from(order.slice(0, MOST_PAIRED), (at) => indices[at]!).sort();
}

function emptyState(m: number): PairState {
  const dense = m <= MOST_DENSE;
  const slots = dense ? 0 : SLOTS;
  return {
    counts: new Uint32Array(dense ? (m * (m - 1)) / 2 : SLOTS),
    first: new Uint32Array(slots),
    second: new Uint32Array(slots),
    figures: new Uint32Array(2),
  };
}
