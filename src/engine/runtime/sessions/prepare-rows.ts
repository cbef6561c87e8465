import type { BudgetColumns } from "../../core/budget.ts";
import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { PursuitSettings } from "../../core/dictionary.ts";
import type { Atoms } from "../../core/dictionary-weights.ts";
import { applyInputNorm } from "./input-norm.ts";

/** Rows as a code is measured against them: x − b, and what leads back to the rows that were posted. */
export interface CenteredRows {
  /** Rows of the arrays below: the batch's, and one of zeros where that is a single one. */
  readonly count: number;
  /** [count, d] normed and centred, divided by `unscale`. */
  readonly scaled: Float32Array;
  /** [count] a power of two. */
  readonly unscale: Float64Array;
  /** [count] ||x − b||² of the scaled row, in float64. */
  readonly energy: Float64Array;
  /** Under an input norm: x = y · scale + shift. */
  readonly norm: { readonly shift: Float32Array; readonly scale: Float32Array } | null;
}

/** A batch in scaled pursuit space, its rows' largest magnitudes in [1, 2): what the pursuit graph takes. */
export interface PreparedRows extends CenteredRows {
  /** Squared limits in scaled space; −1 where a limit is off, −∞ for minEnergy. */
  readonly maxAtoms: Int32Array;
  readonly tolerance: Float32Array;
  readonly residual: Float32Array;
  readonly threshold: Float32Array;
  readonly minEnergy: Float32Array;
}

/** What the preparation of rows needs to know of a dictionary. */
export type RowRules = Pick<Atoms, "d" | "center"> & {
  readonly settings: Pick<PursuitSettings, "inputNorm" | "residualThreshold">;
};

/**
 * Input norm, centre, scale. Scaling by a power of two is exact, so codes do not change by it, but squares of rows as
 * small as 1e-20 or as large as 1e19 then stay within float32.
 *
 * At least two rows come out: the runtime multiplies a single row another way than many, and rounds differently.
 */
export function prepareRows({ rows, count, budgets }: EncodeBatch, weights: RowRules): PreparedRows {
  const { d, center, settings } = weights;
  const columns = createColumns(count, settings);
  const scaled = new Float32Array(columns.count * d);
  scaled.set(rows);
  for (let i = 0; i < count; i++) {
    const from = i * d;
    normRow(columns, i, scaled.subarray(from, from + d), settings);
    if (center !== null) for (let k = 0; k < d; k++) scaled[from + k]! -= center[k]!;
    const unscale = powerOfTwo(largestMagnitude(scaled, from, from + d));
    limitRow(columns, i, { unscale, energy: scaleRow(scaled, from, from + d, 1 / unscale) }, budgets, settings);
  }
  return { ...columns, scaled };
}

/** Everything of `count` rows but the rows themselves, before their preparation. */
export type RowColumns = Omit<PreparedRows, "scaled">;

export function createColumns(count: number, { inputNorm }: RowRules["settings"]): RowColumns {
  const padded = Math.max(count, 2);
  return {
    count: padded,
    unscale: new Float64Array(padded).fill(1),
    energy: new Float64Array(padded),
    maxAtoms: new Int32Array(padded),
    tolerance: new Float32Array(padded).fill(-1),
    residual: new Float32Array(padded).fill(-1),
    threshold: new Float32Array(padded).fill(-1),
    minEnergy: new Float32Array(padded).fill(-Infinity),
    norm: inputNorm === "none" ? null : { shift: new Float32Array(count), scale: new Float32Array(count) },
  };
}

/** The input norm of row i, in place. */
export function normRow({ norm }: RowColumns, i: number, row: Float32Array, { inputNorm }: RowRules["settings"]): void {
  if (norm === null) return;
  const { shift, scale } = applyInputNorm(row, inputNorm);
  norm.shift[i] = shift;
  norm.scale[i] = scale;
}

/** The limits of row i, once it is known how it was scaled and what its squared norm is then. */
export function limitRow(
  columns: RowColumns,
  i: number,
  { unscale, energy }: { readonly unscale: number; readonly energy: number },
  budgets: BudgetColumns,
  { residualThreshold }: RowRules["settings"],
): void {
  columns.unscale[i] = unscale;
  columns.energy[i] = energy;
  const tolerance = budgets.tolerance[i]!;
  const residualNorm = budgets.residualNorm[i]!;
  const minGain = budgets.minGain[i]!;
  columns.maxAtoms[i] = budgets.maxAtoms[i]!;
  // From 1 on the limit is met at once, however the runtime's sum of squares is rounded.
  if (tolerance > 0) columns.tolerance[i] = tolerance >= 1 ? Infinity : tolerance ** 2 * energy;
  if (residualNorm > 0) columns.residual[i] = (residualNorm / unscale) ** 2;
  if (residualThreshold > 0) columns.threshold[i] = (residualThreshold / unscale) ** 2;
  if (minGain > 0) columns.minEnergy[i] = minGain * energy;
}

/** The power of two at or under a magnitude; 1 for zero. */
export function powerOfTwo(largest: number): number {
  if (largest === 0) return 1;
  let power = 2 ** Math.floor(Math.log2(largest));
  // log2 may round across a power of two.
  if (power > largest) power /= 2;
  else if (power * 2 <= largest) power *= 2;
  return power;
}

/** Multiplies values [from, to) and returns the sum of their squares. */
function scaleRow(values: Float32Array, from: number, to: number, factor: number): number {
  let energy = 0;
  for (let k = from; k < to; k++) {
    const value = values[k]! * factor;
    values[k] = value;
    energy += value * value;
  }
  return energy;
}

/** Of values [from, to). */
export function largestMagnitude(values: Float32Array, from: number, to: number): number {
  let largest = 0;
  for (let k = from; k < to; k++) {
    const magnitude = Math.abs(values[k]!);
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}
