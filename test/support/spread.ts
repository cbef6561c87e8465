import type { Rows } from "../../src/engine/core/rows.ts";

/** Σ||x − mean||² in two passes of float64. */
export function spreadOf({ data, count, width }: Rows): number {
  let spread = 0;
  for (let c = 0; c < width; c++) {
    const column = Array.from({ length: count }, (_, i) => data[i * width + c]!);
    const mean = column.reduce((sum, value) => sum + value, 0) / count;
    for (const value of column) spread += (value - mean) ** 2;
  }
  return spread;
}
