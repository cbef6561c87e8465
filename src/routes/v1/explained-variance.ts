import type { SparseCodes } from "../../engine/core/sparse-codes.ts";

/**
 * 1 − Σ||x − x̂||² / Σ||x − mean||², the mean being the batch's; null where the rows do not vary.
 *
 * @param spread Σ||x − mean||²
 */
export function explainedVariance(spread: number, { count, residualNorms, norm }: SparseCodes): number | null {
  if (residualNorms === undefined) return null;
  let left = 0;
  // The residual is that of pursuit space; undoing an input norm stretches it by the row's scale.
  for (let i = 0; i < count; i++) left += (residualNorms[i]! * (norm?.scale[i] ?? 1)) ** 2;
  const explained = 1 - left / spread;
  return count > 1 && Number.isFinite(explained) ? explained : null;
}
