import type { Activation } from "../../core/candidate-atoms.ts";
import type { OnePassWeights } from "../one-pass.ts";
import type { TopkSettings } from "./spec.ts";

/** @param norms [m] ||D_j|| of the atoms as they are stored */
export function createTopkActivation({ settings }: OnePassWeights<TopkSettings>, norms: Float64Array): Activation {
  const { k, rectify = true, scaleByDecoderNorm = false } = settings;
  const valueOf = scaleByDecoderNorm === true ? (h: number, j: number) => Math.fround(h * norms[j]!) : (h: number) => h;
  return {
    screen: { by: "rank", k, magnitude: false, factors: scaleByDecoderNorm === false ? null : norms },
    value: rectify ? (h, j) => Math.max(valueOf(h, j), 0) : valueOf,
  };
}
