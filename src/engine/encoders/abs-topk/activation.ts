import type { Activation } from "../../core/candidate-atoms.ts";
import type { OnePassWeights } from "../one-pass.ts";
import type { AbsTopkSettings } from "./spec.ts";

/** @param norms [m] ||D_j|| of the atoms as they are stored */
export function createAbsTopkActivation(
  { settings }: OnePassWeights<AbsTopkSettings>,
  norms: Float64Array,
): Activation {
  const { k, scaleByDecoderNorm = false } = settings;
  return {
    screen: { by: "rank", k, magnitude: true, factors: scaleByDecoderNorm === false ? null : norms },
    value: scaleByDecoderNorm === true ? (h, j) => Math.fround(h * norms[j]!) : (h) => h,
  };
}
