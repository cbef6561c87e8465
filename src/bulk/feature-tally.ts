import type { SparseCodes } from "../engine/core/sparse-codes.ts";

/** Bins of an octave of magnitudes: each is an eighth of its lower edge wide, or narrower. */
const BINS_PER_OCTAVE = 8;
/** A feature's magnitudes from 2^-14 of the first rows' largest to 4 times it. */
const OCTAVES = 16;
export const BINS = BINS_PER_OCTAVE * OCTAVES;
/** Octaves kept above the largest value of the first rows. */
const HEADROOM = 2;

/** Half octaves, from each of which one row is kept. */
const BINS_PER_STRATUM = 4;
export const STRATA = BINS / BINS_PER_STRATUM;

/** Exponent and three bits of the fraction of a float32. */
const SHIFT = 20;

export interface TallyState {
  readonly count: Uint32Array;
  readonly sum: Float64Array;
  /** Of the largest magnitude. */
  readonly max: Float32Array;
  /** [m, BINS] of positive values, and of negative ones by their magnitude. */
  readonly positive: Uint32Array;
  readonly negative: Uint32Array;
  /** [m, top], largest magnitude first; row 0xffffffff: none. */
  readonly topRow: Uint32Array;
  readonly topValue: Float32Array;
  /** [m, STRATA]: the row of the least hash. */
  readonly sampleHash: Uint32Array;
  readonly sampleRow: Uint32Array;
  readonly sampleValue: Float32Array;
  /** Key of the first bin; -1: no row was added yet. */
  readonly base: Int32Array;
}

export const NO_ROW = 0xffffffff;

/**
 * Values of each feature over any number of rows, in memory that depends on m alone: counts, sums, bins, the largest values
 * and one row of each half octave. Rows may come in any order: the result is the same.
 */
export class FeatureTally {
  readonly m: number;
  readonly top: number;
  readonly state: TallyState;
  readonly #bits = new Uint32Array(1);
  readonly #float = new Float32Array(this.#bits.buffer);

  /** @param top largest values kept of a feature @param state of a tally that goes on */
  constructor(m: number, top: number, state = emptyState(m, top)) {
    this.m = m;
    this.top = top;
    this.state = state;
  }

  /** @param first number of the first row of these codes */
  add({ count, indptr, indices, values }: SparseCodes, first: number): void {
    const { state } = this;
    if (state.base[0] === -1) this.#setBase(values);
    for (let i = 0; i < count; i++) {
      const row = first + i;
      for (let at = indptr[i]!; at < indptr[i + 1]!; at++) {
        const j = indices[at]!;
        const value = values[at]!;
        state.count[j]!++;
        state.sum[j]! += value;
        if (Math.abs(value) > Math.abs(state.max[j]!)) state.max[j] = value;
        const bin = this.binOf(value);
        (value > 0 ? state.positive : state.negative)[j * BINS + bin]!++;
        this.#keepTop(j, row, value);
        this.#keepSample(j, row, value, Math.floor(bin / BINS_PER_STRATUM));
      }
    }
  }

  /** Bin of a value's magnitude, 0 to BINS − 1. */
  binOf(value: number): number {
    this.#float[0] = Math.abs(value);
    return Math.max(0, Math.min(BINS - 1, (this.#bits[0]! >>> SHIFT) - this.state.base[0]!));
  }

  /** Lower edge of a bin's magnitudes. */
  edgeOf(bin: number): number {
    this.#bits[0] = (Math.max(0, this.state.base[0]!) + bin) << SHIFT;
    return this.#float[0]!;
  }

  #setBase(values: Float32Array): void {
    let largest = 0;
    for (const value of values) largest = Math.max(largest, Math.abs(value));
    if (largest === 0) return;
    this.#float[0] = largest;
    const key = (this.#bits[0]! >>> SHIFT) - ((this.#bits[0]! >>> SHIFT) % BINS_PER_OCTAVE);
    this.state.base[0] = Math.max(0, key + (1 + HEADROOM - OCTAVES) * BINS_PER_OCTAVE);
  }

  #keepTop(j: number, row: number, value: number): void {
    const { top } = this;
    const { topRow, topValue } = this.state;
    const from = j * top;
    const beats = (at: number): boolean => {
      const [one, other] = [Math.abs(value), Math.abs(topValue[at]!)];
      return topRow[at] === NO_ROW || one > other || (one === other && row < topRow[at]!);
    };
    let at = from + top - 1;
    if (!beats(at)) return;
    for (; at > from && beats(at - 1); at--) {
      topRow[at] = topRow[at - 1]!;
      topValue[at] = topValue[at - 1]!;
    }
    topRow[at] = row;
    topValue[at] = value;
  }

  #keepSample(j: number, row: number, value: number, stratum: number): void {
    const { sampleHash, sampleRow, sampleValue } = this.state;
    const at = j * STRATA + stratum;
    const hash = mixed(row, j);
    if (hash >= sampleHash[at]!) return;
    sampleHash[at] = hash;
    sampleRow[at] = row;
    sampleValue[at] = value;
  }
}

function emptyState(m: number, top: number): TallyState {
  return {
    count: new Uint32Array(m),
    sum: new Float64Array(m),
    max: new Float32Array(m),
    positive: new Uint32Array(m * BINS),
    negative: new Uint32Array(m * BINS),
    topRow: new Uint32Array(m * top).fill(NO_ROW),
    topValue: new Float32Array(m * top),
    sampleHash: new Uint32Array(m * STRATA).fill(0xffffffff),
    sampleRow: new Uint32Array(m * STRATA).fill(NO_ROW),
    sampleValue: new Float32Array(m * STRATA),
    base: Int32Array.of(-1),
  };
}

/** A hash of two numbers, so that samples are the same whatever the order of the rows. */
export function mixed(a: number, b: number): number {
  let hash = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b + 0x165667b1, 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39);
  return (hash ^ (hash >>> 15)) >>> 0;
}
