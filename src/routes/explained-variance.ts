import type { Rows } from "../engine/rows.ts";
import type { SparseCodes } from "../engine/sparse-codes.ts";

/** 1 − Σ||x − x̂||² / Σ||x − mean||², the mean being the batch's; null where the rows do not vary. */
export function explainedVariance({ data, count, width }: Rows, { residualNorms, norm }: SparseCodes): number | null {
  // In one pass, from the first row and not from zero: Σ(x − s)² − (Σ(x − s))²/n loses digits only to what lies far from s,
  // and s is one of the rows.
  const sums = new Float64Array(width);
  let variance = 0;
  for (let i = width; i < data.length;) {
    for (let c = 0; c < width; c++) {
      const away = data[i++]! - data[c]!;
      sums[c]! += away;
      variance += away * away;
    }
  }
  for (const sum of sums) variance -= (sum * sum) / count;
  let left = 0;
  // The residual is that of pursuit space; undoing an input norm stretches it by the row's scale.
  for (let i = 0; i < count; i++) left += (residualNorms[i]! * (norm?.scale[i] ?? 1)) ** 2;
  const explained = 1 - left / variance;
  return count > 1 && Number.isFinite(explained) ? explained : null;
}
