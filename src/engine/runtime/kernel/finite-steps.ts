import { LARGEST_FLOAT32 } from "../../core/float-formats.ts";

/** Steps of pursuits in scaled units. */
export interface ScaledSteps {
  readonly values: Float32Array;
  /** ||r||² after each step. */
  readonly energies: Float32Array;
}

/**
 * Counts the steps of one row before the first value or norm beyond float32.
 * @param first index of its first step; the next ones follow every `stride`
 * @param unscale factor back to the posted row's scale
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
