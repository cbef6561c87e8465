import type { Activation } from "../active-atoms.ts";
import type { OnePassWeights } from "../one-pass.ts";

export function createGatedActivation({ tensors }: OnePassWeights): Activation {
  const gate = tensors["gate_bias"]!;
  const bias = tensors["mag_bias"]!;
  const scale = Float64Array.from(tensors["r_mag"]!, Math.exp);
  return (h, active) => {
    for (let j = 0; j < h.length; j++) {
      const value = h[j]!;
      if (value + gate[j]! <= 0) continue;
      const magnitude = Math.fround(value * scale[j]! + bias[j]!);
      if (magnitude > 0 && magnitude < Infinity) active.push(j, magnitude);
    }
  };
}
