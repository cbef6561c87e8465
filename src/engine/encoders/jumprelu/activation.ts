import type { Activation } from "../../core/candidate-atoms.ts";
import type { OnePassWeights } from "../one-pass.ts";
import type { JumpReluSettings } from "./spec.ts";

export const createJumpReluActivation = ({ settings, tensors }: OnePassWeights<JumpReluSettings>): Activation => ({
  screen: { by: "limit", limits: strictLimits(tensors["threshold"]!, settings) },
  value: (h) => h,
});

/** [m] the numbers that h_j must exceed: one comparison an atom, whatever the settings. */
function strictLimits(threshold: Float32Array, { comparison, rectify = true }: JumpReluSettings): Float32Array {
  return threshold.map((limit) => {
    const strict = comparison === "strict" ? limit : below(limit);
    return rectify ? Math.max(strict, 0) : strict;
  });
}

const float = new Float32Array(1);
const bits = new Int32Array(float.buffer);

/** The largest float32 under a value. */
function below(value: number): number {
  float[0] = value;
  if (float[0] === 0) return -(2 ** -149);
  bits[0]! += float[0] > 0 ? -1 : 1;
  return float[0];
}
