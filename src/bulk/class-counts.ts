import type { SparseCodes } from "../engine/core/sparse-codes.ts";
import { type FeatureTally, BINS, STRATA } from "./feature-tally.ts";

/** Levels of a value: half octaves of negative magnitudes from the largest on, then of positive ones to the largest. */
const LEVELS = 2 * STRATA;

const MOST_BYTES = 1 << 30;

export interface ClassState {
  /** [classes, m, LEVELS] rows of the class in which the feature has a value of that level. */
  readonly levels: Uint32Array;
  /** [classes] */
  readonly rows: Uint32Array;
}

/** A class that a feature is compared with. */
interface Separation {
  readonly class: number;
  /** Jensen–Shannon distance, base 2. */
  readonly distance: number;
  readonly averagePrecision: number;
}

/** Values of each feature by the class of the row, in half octaves. */
export class ClassCounts {
  readonly #m: number;
  readonly state: ClassState;

  /** @throws Error when there are too many classes to count */
  constructor(m: number, classes: number, state?: ClassState) {
    const bytes = 4 * classes * m * LEVELS;
    if (bytes > MOST_BYTES) {
      const most = Math.floor(MOST_BYTES / (4 * m * LEVELS));
      throw new Error(
        `--classes names ${classes} classes; with ${m} features at most ${most} can be counted. Join some of them.`,
      );
    }
    this.#m = m;
    this.state = state ?? { levels: new Uint32Array(classes * m * LEVELS), rows: new Uint32Array(classes) };
  }

  /** @param classOf class of each row of these codes */
  add(tally: FeatureTally, { count, indptr, indices, values }: SparseCodes, classOf: Uint32Array): void {
    const { levels, rows } = this.state;
    for (let i = 0; i < count; i++) {
      const own = classOf[i]!;
      rows[own]!++;
      for (let at = indptr[i]!; at < indptr[i + 1]!; at++) {
        const stratum = Math.floor(tally.binOf(values[at]!) / (BINS / STRATA));
        const level = values[at]! > 0 ? STRATA + stratum : STRATA - 1 - stratum;
        levels[(own * this.#m + indices[at]!) * LEVELS + level]!++;
      }
    }
  }

  /** How the feature tells each class from all other rows, the largest distance first. @param most classes at most */
  separations(feature: number, most: number): Separation[] {
    const { levels, rows } = this.state;
    const total = rows.reduce((sum, count) => sum + count, 0);
    const all = new Float64Array(LEVELS);
    for (let c = 0; c < rows.length; c++) {
      const from = (c * this.#m + feature) * LEVELS;
      for (let level = 0; level < LEVELS; level++) all[level]! += levels[from + level]!;
    }
    const separations: Separation[] = [];
    for (const [own, size] of rows.entries()) {
      if (size === 0 || size === total) continue;
      const from = (own * this.#m + feature) * LEVELS;
      const inside = ordered(levels.subarray(from, from + LEVELS), size);
      const whole = ordered(all, total);
      const outside = whole.map((count, level) => count - inside[level]!);
      separations.push({
        class: own,
        distance: jensenShannon(inside, size, outside, total - size),
        averagePrecision: averagePrecision(inside, whole, size),
      });
    }
    return separations.sort((a, b) => b.distance - a.distance || a.class - b.class).slice(0, most);
  }
}

/** Counts by falling value, the rows in which the feature is not active between the positive and the negative levels. */
function ordered(levels: ArrayLike<number>, rows: number): number[] {
  const positive = Array.from({ length: STRATA }, (_, i) => levels[LEVELS - 1 - i]!);
  const negative = Array.from({ length: STRATA }, (_, i) => levels[STRATA - 1 - i]!);
  const active = [...positive, ...negative].reduce((sum, count) => sum + count, 0);
  return [...positive, rows - active, ...negative];
}

/** Jensen–Shannon distance of two histograms, base 2: 0 where they are equal, 1 where they share no bin. */
function jensenShannon(p: readonly number[], pRows: number, q: readonly number[], qRows: number): number {
  let divergence = 0;
  for (const [bin, count] of p.entries()) {
    const [one, other] = [count / pRows, q[bin]! / qRows];
    const mean = (one + other) / 2;
    if (one > 0) divergence += (one * Math.log2(one / mean)) / 2;
    if (other > 0) divergence += (other * Math.log2(other / mean)) / 2;
  }
  return Math.sqrt(Math.max(0, divergence));
}

/** Average precision of a score by its histogram: equal levels are one threshold, as in scikit-learn. */
function averagePrecision(inside: readonly number[], all: readonly number[], positives: number): number {
  let [found, seen, precision] = [0, 0, 0];
  for (const [level, count] of inside.entries()) {
    found += count;
    seen += all[level]!;
    if (count > 0) precision += (count / positives) * (found / seen);
  }
  return precision;
}
