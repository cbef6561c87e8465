import { onePassSpec } from "./one-pass.ts";

/**
 * a = (W·in + gate_bias > 0) · max(W·in · exp(r_mag) + mag_bias, 0). There is no `encoder_bias`.
 * Undecided where the gate or the magnitude is at 0.
 */
export const gatedSpec = onePassSpec({
  kind: "gated",
  tensors: ({ m }) => ({ gate_bias: [m], mag_bias: [m], r_mag: [m] }),
  activation: ({ tensors }) => {
    const bias = tensors["mag_bias"]!;
    const scale = Float64Array.from(tensors["r_mag"]!, Math.exp);
    return {
      // h + gate_bias > 0
      screen: { by: "limit", limits: tensors["gate_bias"]!.map((gate) => -gate) },
      value: (h, j) => Math.max(Math.fround(h * scale[j]! + bias[j]!), 0),
    };
  },
  reference: ({ h, weights: { tensors } }) => {
    const gate = h.map((value, j) => value + tensors["gate_bias"]![j]!);
    const scale = Float64Array.from(tensors["r_mag"]!, Math.exp);
    const magnitude = h.map((value, j) => value * scale[j]! + tensors["mag_bias"]![j]!);
    return {
      values: magnitude.map((value, j) => (gate[j]! > 0 ? Math.max(value, 0) : 0)),
      margins: gate.map((value, j) => Math.min(Math.abs(value) * scale[j]!, Math.abs(magnitude[j]!))),
      scale,
    };
  },
});
