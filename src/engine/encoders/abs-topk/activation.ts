import { type Activation, LargestKeys } from "../active-atoms.ts";
import type { OnePassWeights } from "../one-pass.ts";
import type { AbsTopkSettings } from "./spec.ts";

/** @param norms [m] ||D_j|| of the atoms as they are stored */
export function createAbsTopkActivation(
  { m, settings }: OnePassWeights<AbsTopkSettings>,
  norms: Float64Array,
): Activation {
  const { k, scaleByDecoderNorm = false } = settings;
  const largest = new LargestKeys(k);
  const keys = new Float32Array(m);
  return (h, active) => {
    for (let j = 0; j < h.length; j++) keys[j] = Math.abs(h[j]! * (scaleByDecoderNorm === false ? 1 : norms[j]!));
    for (const j of largest.select(keys.subarray(0, h.length))) {
      const value = Math.fround(scaleByDecoderNorm === true ? h[j]! * norms[j]! : h[j]!);
      if (value !== 0 && Math.abs(value) < Infinity) active.push(j, value);
    }
  };
}
