import type { CodesToDecode } from "../../core/sparse-codes.ts";
import type { Atoms } from "../../core/dictionary-weights.ts";

/** x̂ = (Dᵀz + b) · scale + shift, summed in float64: [count, d]. A code prefetch few atoms, so no graph pays off here. */
export function decodeCodes(
  { count, indptr, indices, values, norm }: CodesToDecode,
  { atoms, center, d }: Atoms,
): Float32Array {
  const rows = new Float32Array(count * d);
  const sum = new Float64Array(d);
  for (let i = 0; i < count; i++) {
    sum.fill(0);
    for (let k = indptr[i]!; k < indptr[i + 1]!; k++) {
      const value = values[k]!;
      const atom = indices[k]! * d;
      for (let c = 0; c < d; c++) sum[c]! += value * atoms[atom + c]!;
    }
    const scale = norm?.scale[i] ?? 1;
    const shift = norm?.shift[i] ?? 0;
    for (let c = 0; c < d; c++) rows[i * d + c] = (sum[c]! + (center?.[c] ?? 0)) * scale + shift;
  }
  return rows;
}
