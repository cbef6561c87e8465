import { type Activation, LargestKeys } from "../active-atoms.ts";
import type { OnePassWeights } from "../one-pass.ts";
import type { TopkSettings } from "./spec.ts";

/** @param norms [m] ||D_j|| of the atoms as they are stored */
export function createTopkActivation({ m, settings }: OnePassWeights<TopkSettings>, norms: Float64Array): Activation {
  const { k, rectify = true, scaleByDecoderNorm = false } = settings;
  const largest = new LargestKeys(k);
  const scaled = scaleByDecoderNorm === false ? null : new Float32Array(m);
  return (h, active) => {
    if (scaled !== null) for (let j = 0; j < h.length; j++) scaled[j] = h[j]! * norms[j]!;
    const keys = scaled?.subarray(0, h.length) ?? h;
    const values = scaleByDecoderNorm === "select" ? h : keys;
    for (const j of largest.select(keys)) {
      const value = values[j]!;
      if ((value > 0 || (!rectify && value < 0)) && Math.abs(value) < Infinity) active.push(j, value);
    }
  };
}
