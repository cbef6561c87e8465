import {
  type DictionaryWeights,
  knownNorms,
  type OrthogonalWeights,
  type PursuitWeights,
} from "../../core/dictionary-weights.ts";
import { LAYER_NORM_EPSILON } from "../../core/dictionary.ts";
import type { FeatureLabel } from "../../core/features.ts";
import { LeastSquares } from "../../core/least-squares.ts";
import { type SparseCodes, STOP_REASONS, type StopReason } from "../../core/sparse-codes.ts";

/** A row in pursuit space before its first step, in float64: normed as its code says, b subtracted in float32. */
export function pursuitStart(
  x: Float32Array,
  { norm }: ServedCode,
  { center, settings }: DictionaryWeights,
): Float64Array {
  const { shift, scale } = norm ?? { shift: 0, scale: 1 };
  const divisor = settings.inputNorm === "layer_norm" ? scale + LAYER_NORM_EPSILON : scale;
  return Float64Array.from(x, (value, i) => Math.fround(Math.fround((value - shift) / divisor) - (center?.[i] ?? 0)));
}

/**
 * Finds the first undecided step of a served pursuit (docs/algorithm.md, Agreement) by replaying the served selections
 * in float64; null if every step up to `until` was decided. The step after the last selection, where the row ended,
 * counts too.
 * @param until last step to check, counted from 0: a step costs m · d multiplications
 */
export function firstUndecidedStep(
  start: Float64Array,
  { trace }: ServedCode,
  weights: PursuitWeights | OrthogonalWeights,
  until: number,
): number | null {
  const { atoms, d, m, settings, kind } = weights;
  const r = start.slice();
  const norm = lengthOf(start);
  const orthogonal = kind === "orthogonal_matching_pursuit";
  // Scores divided by ||D_j|| are those of unit atoms.
  const scales = orthogonal && !settings.rawScores ? knownNorms(weights) : null;
  let margin = 1e-6 * norm * (scales === null ? largestOf(knownNorms(weights)) : 1);
  const solution = orthogonal ? new LeastSquares(weights, settings.score === "relu") : null;
  solution?.start(Float32Array.from(start), norm * norm);
  const used = new Set<number>();
  for (let k = 0; k <= Math.min(until, trace.indices.length); k++) {
    const left = lengthOf(r);
    if (left > 0 && left < 1e-3 * norm) return k;
    if (k > 0 && settings.residualThreshold > 0 && Math.abs(left - settings.residualThreshold) <= margin) return k;
    let best = -Infinity;
    let second = -Infinity;
    for (let j = 0; j < m; j++) {
      if ((orthogonal || settings.reselect === "forbid") && used.has(j)) continue;
      let score = 0;
      for (let c = 0, at = j * d; c < d; c++, at++) score += r[c]! * atoms[at]!;
      if (settings.score === "absolute") score = Math.abs(score);
      if (scales !== null && scales[j] !== 0) score /= scales[j]!;
      if (score > best) {
        second = best;
        best = score;
      } else if (score > second) second = score;
    }
    if (k === 0) margin = Math.max(margin, 1e-5 * Math.abs(best));
    if (left > 0 && (Math.abs(best) <= margin || best - second <= margin)) return k;
    if (k === trace.indices.length) break;
    const j = trace.indices[k]!;
    used.add(j);
    if (solution !== null) {
      // The served selection was possible; if this arithmetic refuses it, the step is undecided.
      if (solution.add(j) !== "added") return k;
      solution.residual(r);
    } else for (let c = 0; c < d; c++) r[c]! -= trace.values[k]! * atoms[j * d + c]!;
  }
  return null;
}

export function lengthOf(vector: Float64Array): number {
  let squares = 0;
  for (const value of vector) squares += value * value;
  return Math.sqrt(squares);
}

const largestOf = (norms: Float64Array): number => norms.reduce((most, norm) => Math.max(most, norm), 0);

/** One row's served code, with its trace. */
export interface ServedCode {
  /** Ascending. */
  readonly indices: ArrayLike<number>;
  readonly values: ArrayLike<number>;
  readonly stop: StopReason;
  readonly trace: { readonly indices: ArrayLike<number>; readonly values: ArrayLike<number> };
  /** ||r|| after each selection. */
  readonly residualNorms: ArrayLike<number>;
  readonly norm?: { readonly shift: number; readonly scale: number };
  /** Best labels beside `indices`, if they were asked for. */
  readonly labels?: readonly (Pick<FeatureLabel, "text" | "source"> | null)[];
}

/** Traced codes, row by row. */
export function servedCodes({ count, indptr, indices, values, stops, norm, trace }: SparseCodes): ServedCode[] {
  if (!trace) throw new Error("the codes were encoded without a trace");
  return Array.from({ length: count }, (_, i) => {
    const [from, to] = [indptr[i]!, indptr[i + 1]!];
    const [first, last] = [trace.indptr[i]!, trace.indptr[i + 1]!];
    return {
      indices: indices.subarray(from, to),
      values: values.subarray(from, to),
      stop: STOP_REASONS[stops[i]!]!,
      trace: { indices: trace.indices.subarray(first, last), values: trace.values.subarray(first, last) },
      residualNorms: trace.residualNorms?.subarray(first, last) ?? [],
      ...(norm && { norm: { shift: norm.shift[i]!, scale: norm.scale[i]! } }),
    };
  });
}
