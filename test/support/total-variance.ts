import type { Rows } from "../../src/engine/core/rows.ts";

/** Σ||x − mean||² in two passes of float64. */
export function totalVarianceOf({ data, count, width }: Rows): number {
  let total = 0;
  for (let c = 0; c < width; c++) {
    const column = Array.from({ length: count }, (_, i) => data[i * width + c]!);
    const mean = column.reduce((sum, value) => sum + value, 0) / count;
    for (const value of column) total += (value - mean) ** 2;
  }
  return total;
}
