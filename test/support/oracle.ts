/**
 * Matching pursuit of docs/algorithm.md in float64, line by line, without optimisations. It also finds the first undecided
 * step, by the margin of the section Agreement.
 */
import type { Budget } from "../../src/engine/core/budget.ts";
import type { InputNorm } from "../../src/engine/core/dictionary.ts";
import type { PursuitWeights } from "../../src/engine/core/dictionary-weights.ts";
import type { StopReason } from "../../src/engine/core/sparse-codes.ts";

export interface Pursuit {
  readonly indices: readonly number[];
  readonly values: readonly number[];
  /** ||r|| after each selection. */
  readonly norms: readonly number[];
  readonly stop: StopReason;
  /** ||r|| at the end, recomputed from x and z. */
  readonly residualNorm: number;
}

export interface OraclePursuit extends Pursuit {
  /** ||x − b|| */
  readonly norm: number;
  /** Selections before the first undecided step. */
  readonly decided: number;
  /** Whether every step and the end were decided. */
  readonly allDecided: boolean;
}

/** Encodes one row in pursuit space, before b is subtracted. `budget.maxAtoms` is required. */
export function oraclePursuit(
  x: ArrayLike<number>,
  weights: PursuitWeights,
  budget: Budget & { readonly maxAtoms: number },
): OraclePursuit {
  const { atoms, center, d, m, settings } = weights;
  const { tolerance = 0, residualNorm = 0, minGain = 0, maxAtoms } = budget;
  const { score, reselect, residualThreshold } = settings;
  // Float32, as in every implementation: this cancellation belongs to the input, not to the pursuit.
  const start = Float64Array.from({ length: d }, (_, i) => (center ? Math.fround(x[i]! - center[i]!) : x[i]!));
  const r = start.slice();
  const norm = lengthOf(start);
  const squares = Float64Array.from({ length: m }, (_, j) => dot(atoms, j * d, atoms, j * d, d));
  const largestNorm = Math.sqrt(squares.reduce((a, b) => Math.max(a, b), 0));
  const z = new Map<number, number>();
  const indices: number[] = [];
  const values: number[] = [];
  const norms: number[] = [];
  let margin = 1e-6 * norm * largestNorm;
  let decided = Infinity;
  const close = (a: number, b: number): boolean => Math.abs(a - b) <= margin;
  const doubt = (selections: number): void => {
    decided = Math.min(decided, selections);
  };

  const stop = ((): StopReason => {
    for (;;) {
      const k = indices.length;
      const left = lengthOf(r);
      if (left > 0 && left < 1e-3 * norm) doubt(k);
      if (tolerance > 0 && left > 0 && close(left, tolerance * norm)) doubt(k);
      if (tolerance > 0 && left <= tolerance * norm) return "tolerance";
      if (residualNorm > 0 && left > 0 && close(left, residualNorm)) doubt(k);
      if (residualNorm > 0 && left <= residualNorm) return "residual_norm";
      if (k >= maxAtoms) return "max_atoms";

      let best = -Infinity;
      let second = -Infinity;
      let j = -1;
      for (let i = 0; i < m; i++) {
        if (reselect === "forbid" && z.has(i)) continue;
        const product = dot(r, 0, atoms, i * d, d);
        const s = score === "absolute" ? Math.abs(product) : product;
        if (s > best) {
          second = best;
          best = s;
          j = i;
        } else if (s > second) second = s;
      }
      if (j < 0) return "no_gain";
      if (k === 0) margin = Math.max(margin, 1e-5 * Math.abs(best));
      const v = dot(r, 0, atoms, j * d, d);
      // A residual of exactly zero scores exactly zero everywhere, so nothing is undecided.
      if (
        left > 0 &&
        (close(best, 0) || (best > -margin && close(best, second)) || (score === "signed" && close(best, second)))
      )
        doubt(k);
      if (score === "signed" ? v === 0 : !(best > 0)) return "no_gain";
      if (minGain > 0) {
        const gain = v * v * (2 - squares[j]!);
        const limit = minGain * norm * norm;
        if (close(Math.sqrt(Math.max(gain, 0)), Math.sqrt(limit))) doubt(k);
        if (gain < limit) return "min_gain";
      }
      const repeated = z.has(j);
      z.set(j, (z.get(j) ?? 0) + v);
      for (let i = 0; i < d; i++) r[i]! -= v * atoms[j * d + i]!;
      indices.push(j);
      values.push(v);
      const after = lengthOf(r);
      norms.push(after);
      if (repeated && reselect === "stop") return "repeat";
      if (residualThreshold > 0) {
        if (close(after, residualThreshold)) doubt(k + 1);
        if (after < residualThreshold) return "residual_norm";
      }
      if (!Number.isFinite(after)) return "no_gain";
    }
  })();

  const residual = start.slice();
  for (const [j, value] of z) for (let i = 0; i < d; i++) residual[i]! -= value * atoms[j * d + i]!;
  return {
    indices,
    values,
    norms,
    stop,
    residualNorm: lengthOf(residual),
    norm,
    decided: Math.min(decided, indices.length),
    allDecided: decided === Infinity,
  };
}

/** Returns ||r|| after each of the given selections of a row in pursuit space. */
export function normsAfter(
  x: ArrayLike<number>,
  { atoms, center, d }: Pick<PursuitWeights, "atoms" | "center" | "d">,
  { indices, values }: Pick<Pursuit, "indices" | "values">,
): number[] {
  const r = Float64Array.from({ length: d }, (_, i) => (center ? Math.fround(x[i]! - center[i]!) : x[i]!));
  return indices.map((j, k) => {
    for (let i = 0; i < d; i++) r[i]! -= values[k]! * atoms[j * d + i]!;
    return lengthOf(r);
  });
}

/** Applies the input norm to one row in float64, then rounds, because a pursuit starts in float32. */
export function pursuitSpace(x: Float32Array, inputNorm: InputNorm): Float32Array {
  const d = x.length;
  if (inputNorm === "layer_norm") {
    const mean = x.reduce((sum, value) => sum + value, 0) / d;
    const std = Math.sqrt(x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (d - 1));
    return x.map((value) => (value - mean) / (std + 1e-5));
  }
  if (inputNorm === "constant_norm_rescale") {
    const factor = Math.sqrt(d) / Math.hypot(...x);
    return x.map((value) => value * factor);
  }
  return x;
}

/** D·(x − b) of a row in pursuit space, in float64: [m]. */
export function oracleCorrelations(
  x: ArrayLike<number>,
  { atoms, center, d, m }: Pick<PursuitWeights, "atoms" | "center" | "d" | "m">,
): Float64Array {
  const centered = Float64Array.from({ length: d }, (_, c) => x[c]! - (center?.[c] ?? 0));
  return Float64Array.from({ length: m }, (_, j) => dot(centered, 0, atoms, j * d, d));
}

function dot(a: ArrayLike<number>, fromA: number, b: ArrayLike<number>, fromB: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[fromA + i]! * b[fromB + i]!;
  return sum;
}

const lengthOf = (a: Float64Array): number => Math.hypot(...a);
