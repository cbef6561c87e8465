import type { Activation } from "../active-atoms.ts";
import type { OnePassWeights } from "../one-pass.ts";
import type { JumpReluSettings } from "./spec.ts";

export function createJumpReluActivation({ settings, tensors }: OnePassWeights<JumpReluSettings>): Activation {
  const threshold = tensors["threshold"]!;
  const { comparison, rectify = true } = settings;
  const inclusive = comparison === "inclusive";
  return (h, active) => {
    for (let j = 0; j < h.length; j++) {
      const value = h[j]!;
      const limit = threshold[j]!;
      if ((value > limit || (inclusive && value === limit)) && (value > 0 || (!rectify && value !== 0))) {
        if (Math.abs(value) < Infinity) active.push(j, value);
      }
    }
  };
}
