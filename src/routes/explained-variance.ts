import { setImmediate as nextTurn } from "node:timers/promises";
import type { Rows } from "../engine/rows.ts";
import type { SparseCodes } from "../engine/sparse-codes.ts";

/** Values after which others get a turn: some 2 ms. */
const VALUES_AT_ONCE = 1 << 20;

/**
 * 1 − Σ||x − x̂||² / Σ||x − mean||², the mean being the batch's; null where the rows do not vary.
 *
 * In one pass, from the first row and not from zero: Σ(x − s)² − (Σ(x − s))²/n loses digits only to what lies far from s,
 * and s is one of the rows.
 */
export async function explainedVariance(
  { data, count, width }: Rows,
  { residualNorms, norm }: SparseCodes,
): Promise<number | null> {
  const sums = new Float64Array(width);
  let variance = 0;
  const rowsAtOnce = Math.max(1, Math.floor(VALUES_AT_ONCE / width));
  for (let from = 1; from < count; from += rowsAtOnce) {
    if (from > 1) await nextTurn();
    variance += addRows(data.subarray(from * width, (from + rowsAtOnce) * width), data.subarray(0, width), sums);
  }
  for (const sum of sums) variance -= (sum * sum) / count;
  let left = 0;
  // The residual is that of pursuit space; undoing an input norm stretches it by the row's scale.
  for (let i = 0; i < count; i++) left += (residualNorms[i]! * (norm?.scale[i] ?? 1)) ** 2;
  const explained = 1 - left / variance;
  return count > 1 && Number.isFinite(explained) ? explained : null;
}

/** Σ(x − s)² of these rows, and Σ(x − s) to the sums. */
function addRows(rows: Float32Array, first: Float32Array, sums: Float64Array): number {
  const { length: width } = first;
  let squares = 0;
  for (let i = 0; i < rows.length;) {
    for (let c = 0; c < width; c++) {
      const away = rows[i++]! - first[c]!;
      sums[c]! += away;
      squares += away * away;
    }
  }
  return squares;
}
