import type { Activation } from "../../core/candidate-atoms.ts";
import type { OnePassWeights } from "../one-pass.ts";

export const createReluActivation = ({ m }: OnePassWeights): Activation => ({
  screen: { by: "limit", limits: new Float32Array(m) },
  value: (h) => h,
});
