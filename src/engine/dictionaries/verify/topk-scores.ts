import type { TopkWeights } from "../../core/dictionary-weights.ts";
import type { ServedCode } from "./served-code.ts";
import { pursuitStart } from "./step-margins.ts";

/** W·x + bias of one row [m], in float64. */
export function topkScores(x: Float32Array, served: ServedCode, weights: TopkWeights): Float64Array {
  const { d, m, encoderWeight, encoderBias, settings } = weights;
  const input = pursuitStart(x, served, settings.subtractCenter ? weights : { ...weights, center: null });
  return Float64Array.from({ length: m }, (_, j) => {
    let score = encoderBias[j]!;
    for (let c = 0, at = j * d; c < d; c++, at++) score += encoderWeight[at]! * input[c]!;
    return score;
  });
}
