import type { Activation } from "../../core/candidate-atoms.ts";
import type { OnePassWeights } from "../one-pass.ts";

export function createGatedActivation({ tensors }: OnePassWeights): Activation {
  const bias = tensors["mag_bias"]!;
  const scale = Float64Array.from(tensors["r_mag"]!, Math.exp);
  return {
    // h + gate_bias > 0
    screen: { by: "limit", limits: tensors["gate_bias"]!.map((gate) => -gate) },
    value: (h, j) => Math.max(Math.fround(h * scale[j]! + bias[j]!), 0),
  };
}
