import type { Reference } from "../reference.ts";

/** Undecided where the gate or the magnitude is at 0. */
export const gatedReference: Reference = ({ h, weights: { tensors } }) => {
  const gate = h.map((value, j) => value + tensors["gate_bias"]![j]!);
  const scale = Float64Array.from(tensors["r_mag"]!, Math.exp);
  const magnitude = h.map((value, j) => value * scale[j]! + tensors["mag_bias"]![j]!);
  return {
    values: magnitude.map((value, j) => (gate[j]! > 0 ? Math.max(value, 0) : 0)),
    margins: gate.map((value, j) => Math.min(Math.abs(value) * scale[j]!, Math.abs(magnitude[j]!))),
    scale,
  };
};
