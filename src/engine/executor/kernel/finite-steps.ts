import { LARGEST_FLOAT32 } from "../../float-formats.ts";
import type { RowJob } from "./row-job.ts";

/** Steps of a row until its first value or norm that float32 cannot hold. */
export function finiteSteps({ values, energies, steps, unscale, depth }: RowJob, row: number): number {
  const from = row * depth;
  const count = steps[row]!;
  const scale = unscale[row]!;
  for (let t = 0; t < count; t++) {
    const value = Math.abs(values[from + t]! * scale);
    // Negated, so that NaN ends it too.
    if (!(value <= LARGEST_FLOAT32 && Math.sqrt(energies[from + t]!) * scale <= LARGEST_FLOAT32)) return t;
  }
  return count;
}
