import { LARGEST_FLOAT32 } from "../../core/float-formats.ts";

/** What pursuits selected, step by step, at a scale of their own. */
export interface ScaledSteps {
  readonly values: Float32Array;
  /** ||r||² after each step. */
  readonly energies: Float32Array;
}

/**
 * Steps of one row until its first value or norm that float32 cannot hold.
 * @param first where its first step lies, and each next one `stride` further. @param unscale back to the row as posted
 */
export function finiteSteps(
  { values, energies }: ScaledSteps,
  first: number,
  stride: number,
  count: number,
  unscale: number,
): number {
  for (let t = 0, at = first; t < count; t++, at += stride) {
    const value = Math.abs(values[at]! * unscale);
    // Negated, so that NaN ends it too.
    if (!(value <= LARGEST_FLOAT32 && Math.sqrt(energies[at]!) * unscale <= LARGEST_FLOAT32)) return t;
  }
  return count;
}
