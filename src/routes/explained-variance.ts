import type { Rows } from "../engine/rows.ts";
import type { SparseCodes } from "../engine/sparse-codes.ts";

/** 1 − Σ||x − x̂||² / Σ||x − mean||², the mean being the batch's; null where the rows do not vary. */
export function explainedVariance({ data, count, width }: Rows, { residualNorms, norm }: SparseCodes): number | null {
  const mean = new Float64Array(width);
  for (let i = 0; i < data.length;) for (let c = 0; c < width; c++) mean[c]! += data[i++]! / count;
  let variance = 0;
  for (let i = 0; i < data.length;) for (let c = 0; c < width; c++) variance += (data[i++]! - mean[c]!) ** 2;
  let left = 0;
  // The residual is that of pursuit space; undoing an input norm stretches it by the row's scale.
  for (let i = 0; i < count; i++) left += (residualNorms[i]! * (norm?.scale[i] ?? 1)) ** 2;
  const explained = 1 - left / variance;
  return count > 1 && Number.isFinite(explained) ? explained : null;
}
