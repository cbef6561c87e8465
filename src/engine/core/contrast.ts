/** Which features tell two sets of codes apart (docs/contrast.md). */

/** Codes of one set of rows: the columns of {@link SparseCodes} that a comparison needs. */
export interface FeatureCodes {
  readonly count: number;
  /** [count + 1] */
  readonly indptr: Uint32Array;
  readonly indices: Uint32Array;
  readonly values: Float32Array;
}

export const CONTRAST_SORTS = ["jensen_shannon", "average_precision", "rate", "mean"] as const;
export type ContrastSort = (typeof CONTRAST_SORTS)[number];

export interface ContrastOptions {
  readonly sort: ContrastSort;
  /** Features listed at most. */
  readonly limit: number;
  /** Random divisions of all rows into sets of these sizes. */
  readonly permutations: number;
  /** Of the divisions: 32 bits. */
  readonly seed: number;
}

/** A figure of each set. */
export interface Pair {
  readonly a: number;
  readonly b: number;
}

/** A feature and how it differs between the sets. */
export interface ContrastedFeature {
  readonly index: number;
  /** The set in which its mean is larger; a if they are equal. */
  readonly set: "a" | "b";
  /** Distance of its distributions in the two sets, base 2: 0 to 1. */
  readonly jensenShannon: number;
  /** Share of divisions in which some feature's distance is as large; absent without divisions. */
  readonly pValue?: number;
  /** Of finding the rows of `set` by its value. */
  readonly averagePrecision: number;
  /** Share of rows in which it is active. */
  readonly rate: Pair;
  /** Over all rows, 0 where it is not active. */
  readonly mean: Pair;
}

/** What random divisions give of a figure. */
interface Chance {
  readonly mean: number;
  /** Quantiles 0.05 and 0.95. */
  readonly low: number;
  readonly high: number;
}

export interface Contrast {
  /** Features active in each set, in both, and in any. */
  readonly active: Pair & { readonly both: number; readonly either: number };
  /** Σ min(rate_a, rate_b) / Σ max(rate_a, rate_b) over all features: 1 where all rates are equal. null: no feature is active. */
  readonly overlap: number | null;
  /** Absent without divisions. */
  readonly chance?: {
    readonly overlap: Chance;
    /** Share of divisions whose overlap is as small. */
    readonly overlapPValue: number;
    /** Of the largest distance of any feature. */
    readonly largestJensenShannon: Chance;
  };
  /** Best first; ties by the difference of rates, then by index. */
  readonly features: readonly ContrastedFeature[];
}

/**
 * Most bins of a feature's values, beside the one of rows in which it is not active. A feature has half the square root of its
 * active rows, as bins of few rows are far apart by chance; they are equally wide, from its least value to its largest.
 */
const BINS = 10;
const ALL_BINS = BINS + 1;

/** Steps of a comparison that one division of the rows takes. */
export function divisionSteps(a: FeatureCodes, b: FeatureCodes): number {
  const entries = a.indices.length + b.indices.length;
  return a.count + b.count + entries + ALL_BINS * entries;
}

/** Compares two sets of codes over m features. @param m number of features */
export function contrast(a: FeatureCodes, b: FeatureCodes, m: number, options: ContrastOptions): Contrast {
  const pooled = new PooledCodes(a, b, m);
  const side = new Uint8Array(pooled.count);
  side.fill(1, a.count);
  const real = pooled.tally(side, a.count);
  const distances = real.distances();
  const overlap = real.overlap();
  const chance = options.permutations > 0 && overlap !== null ? divide(pooled, a.count, options) : null;

  const features = Array.from(pooled.features, (index, f): ContrastedFeature => {
    const mean = { a: real.sums[2 * f]! / a.count, b: real.sums[2 * f + 1]! / b.count };
    const set = mean.b > mean.a ? "b" : "a";
    const jensenShannon = distances[f]!;
    return {
      index,
      set,
      jensenShannon,
      ...(chance && { pValue: shareAbove(chance.largest, jensenShannon) }),
      averagePrecision:
        set === "a" ? pooled.averagePrecision(f, side, 0, a.count) : pooled.averagePrecision(f, side, 1, b.count),
      rate: real.rate(f),
      mean,
    };
  });
  const difference = ({ a: left, b: right }: Pair): number => Math.abs(left - right);
  const key: Readonly<Record<ContrastSort, (feature: ContrastedFeature) => number>> = {
    jensen_shannon: ({ jensenShannon }) => jensenShannon,
    average_precision: ({ averagePrecision }) => averagePrecision,
    rate: ({ rate }) => difference(rate),
    mean: ({ mean }) => difference(mean),
  };
  const best = features.toSorted(
    (one, other) =>
      key[options.sort](other) - key[options.sort](one) ||
      difference(other.rate) - difference(one.rate) ||
      one.index - other.index,
  );
  return {
    active: real.active(),
    overlap,
    ...(chance &&
      overlap !== null && {
        chance: {
          overlap: chanceOf(chance.overlaps),
          overlapPValue: shareBelow(chance.overlaps, overlap),
          largestJensenShannon: chanceOf(chance.largest),
        },
      }),
    features: best.slice(0, options.limit),
  };
}

/** Figures of random divisions: the overlap and the largest distance of each. */
function divide(pooled: PooledCodes, inA: number, { permutations, seed }: ContrastOptions) {
  const overlaps = new Float64Array(permutations);
  const largest = new Float64Array(permutations);
  const random = mulberry32(seed);
  const side = new Uint8Array(pooled.count);
  side.fill(1, inA);
  for (let k = 0; k < permutations; k++) {
    for (let i = side.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [side[i], side[j]] = [side[j]!, side[i]!];
    }
    const tally = pooled.tally(side, inA);
    overlaps[k] = tally.overlap()!;
    largest[k] = tally.distances().reduce((most, distance) => Math.max(most, distance), 0);
  }
  return { overlaps, largest };
}

/** Shares of permutation tests count the division as it is, so that none is 0. */
const shareAbove = (figures: Float64Array, figure: number): number =>
  (1 + figures.filter((one) => one >= figure - CLOSE).length) / (1 + figures.length);
const shareBelow = (figures: Float64Array, figure: number): number =>
  (1 + figures.filter((one) => one <= figure + CLOSE).length) / (1 + figures.length);
/** Sums in another order differ by so much. */
const CLOSE = 1e-12;

function chanceOf(figures: Float64Array): Chance {
  const sorted = figures.toSorted();
  const quantile = (share: number): number => {
    const at = share * (sorted.length - 1);
    const below = sorted[Math.floor(at)]!;
    return below + (sorted[Math.ceil(at)]! - below) * (at - Math.floor(at));
  };
  return {
    mean: figures.reduce((sum, figure) => sum + figure, 0) / figures.length,
    low: quantile(0.05),
    high: quantile(0.95),
  };
}

/** The rows of both sets, those of a first, by feature: entries of the f-th active feature are `starts[f] … starts[f + 1]`. */
class PooledCodes {
  readonly count: number;
  /** Features that are active in some row, ascending. */
  readonly features: Uint32Array;
  readonly #starts: Uint32Array;
  /** Of each entry. */
  readonly #rows: Uint32Array;
  readonly #values: Float32Array;
  readonly #bins: Uint8Array;

  constructor(a: FeatureCodes, b: FeatureCodes, m: number) {
    this.count = a.count + b.count;
    const lengths = new Uint32Array(m);
    for (const { indices, values } of [a, b])
      for (let k = 0; k < indices.length; k++) if (values[k] !== 0) lengths[indices[k]!]!++;
    this.features = Uint32Array.from(lengths.keys()).filter((j) => lengths[j]! > 0);
    this.#starts = new Uint32Array(this.features.length + 1);
    const next = new Uint32Array(m);
    for (const [f, j] of this.features.entries()) {
      next[j] = this.#starts[f]!;
      this.#starts[f + 1] = this.#starts[f]! + lengths[j]!;
    }
    const entries = this.#starts.at(-1)!;
    this.#rows = new Uint32Array(entries);
    this.#values = new Float32Array(entries);
    let row = 0;
    for (const { count, indptr, indices, values } of [a, b]) {
      for (let i = 0; i < count; i++, row++) {
        for (let k = indptr[i]!; k < indptr[i + 1]!; k++) {
          if (values[k] === 0) continue;
          const at = next[indices[k]!]!++;
          this.#rows[at] = row;
          this.#values[at] = values[k]!;
        }
      }
    }
    this.#bins = this.#binned();
  }

  /** Bin of each entry, from 1; a feature of one value has it in the first. */
  #binned(): Uint8Array {
    const bins = new Uint8Array(this.#values.length);
    for (let f = 0; f < this.features.length; f++) {
      const from = this.#starts[f]!;
      const own = this.#values.subarray(from, this.#starts[f + 1]);
      let [least, most] = [Infinity, -Infinity];
      for (const value of own) {
        least = Math.min(least, value);
        most = Math.max(most, value);
      }
      const count = Math.min(BINS, Math.max(1, Math.floor(Math.sqrt(own.length) / 2)));
      const width = (most - least) / count;
      for (const [k, value] of own.entries())
        bins[from + k] = width === 0 ? 1 : 1 + Math.min(count - 1, Math.floor((value - least) / width));
    }
    return bins;
  }

  /** Counts of a division. @param side [count] 0: in a, 1: in b */
  tally(side: Uint8Array, inA: number): Tally {
    const counts = new Uint32Array(this.features.length * 2 * ALL_BINS);
    const sums = new Float64Array(this.features.length * 2);
    const sizes = [inA, this.count - inA] as const;
    for (let f = 0; f < this.features.length; f++) {
      const first = f * 2 * ALL_BINS;
      counts[first] = sizes[0];
      counts[first + ALL_BINS] = sizes[1];
      for (let k = this.#starts[f]!; k < this.#starts[f + 1]!; k++) {
        const own = side[this.#rows[k]!]!;
        counts[first + own * ALL_BINS]!--;
        counts[first + own * ALL_BINS + this.#bins[k]!]!++;
        sums[2 * f + own]! += this.#values[k]!;
      }
    }
    return new Tally(counts, sums, sizes);
  }

  /**
   * Average precision of finding the rows on one side by the f-th feature's value: Σ (recall_k − recall_{k−1}) · precision_k
   * over its distinct values from the largest on, rows in which it is not active having 0.
   * @param total rows on that side
   */
  averagePrecision(f: number, side: Uint8Array, wanted: number, total: number): number {
    const [from, to] = [this.#starts[f]!, this.#starts[f + 1]!];
    const order = Array.from({ length: to - from }, (_, k) => from + k).toSorted(
      (one, other) => this.#values[other]! - this.#values[one]!,
    );
    const hits = (entries: readonly number[]): number =>
      entries.reduce((sum, k) => sum + (side[this.#rows[k]!] === wanted ? 1 : 0), 0);
    let [found, seen, precision] = [0, 0, 0];
    const take = (count: number, ofThem: number): void => {
      found += ofThem;
      seen += count;
      if (ofThem > 0) precision += (ofThem / total) * (found / seen);
    };
    let zeros: { readonly count: number; readonly hits: number } | null = {
      count: this.count - order.length,
      hits: total - hits(order),
    };
    for (let at = 0; at < order.length;) {
      const value = this.#values[order[at]!]!;
      if (value < 0 && zeros !== null) {
        take(zeros.count, zeros.hits);
        zeros = null;
      }
      let end = at + 1;
      while (end < order.length && this.#values[order[end]!] === value) end++;
      take(end - at, hits(order.slice(at, end)));
      at = end;
    }
    if (zeros !== null) take(zeros.count, zeros.hits);
    return precision;
  }
}

/** How often each feature has each of its values in the two sets. */
class Tally {
  /** [features, 2] */
  readonly sums: Float64Array;
  /** [features, 2, 1 + BINS], the first bin for rows in which it is not active. */
  readonly #counts: Uint32Array;
  readonly #sizes: readonly [number, number];

  constructor(counts: Uint32Array, sums: Float64Array, sizes: readonly [number, number]) {
    this.#counts = counts;
    this.sums = sums;
    this.#sizes = sizes;
  }

  rate(f: number): Pair {
    const at = f * 2 * ALL_BINS;
    const [inA, inB] = this.#sizes;
    return { a: 1 - this.#counts[at]! / inA, b: 1 - this.#counts[at + ALL_BINS]! / inB };
  }

  /** Jensen-Shannon distance of each feature: the square root of the divergence, base 2. */
  distances(): Float64Array {
    const [inA, inB] = this.#sizes;
    const distances = new Float64Array(this.sums.length / 2);
    for (let f = 0; f < distances.length; f++) {
      let divergence = 0;
      for (let bin = 0, at = f * 2 * ALL_BINS; bin < ALL_BINS; bin++, at++) {
        const p = this.#counts[at]! / inA;
        const q = this.#counts[at + ALL_BINS]! / inB;
        if (p > 0) divergence += p * Math.log2((2 * p) / (p + q));
        if (q > 0) divergence += q * Math.log2((2 * q) / (p + q));
      }
      // Rounding can take a divergence of nothing below 0, or one of all above 1.
      distances[f] = Math.sqrt(Math.min(1, Math.max(0, divergence / 2)));
    }
    return distances;
  }

  overlap(): number | null {
    let [least, most] = [0, 0];
    for (let f = 0; f < this.sums.length / 2; f++) {
      const { a, b } = this.rate(f);
      least += Math.min(a, b);
      most += Math.max(a, b);
    }
    return most === 0 ? null : least / most;
  }

  active(): Contrast["active"] {
    const active = { a: 0, b: 0, both: 0, either: this.sums.length / 2 };
    for (let f = 0; f < active.either; f++) {
      const { a, b } = this.rate(f);
      if (a > 0) active.a++;
      if (b > 0) active.b++;
      if (a > 0 && b > 0) active.both++;
    }
    return active;
  }
}

/** Uniform numbers in [0, 1) of 32 bits: small, and easily written in any language. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
