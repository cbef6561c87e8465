import { onePassSpec } from "../one-pass.ts";

/** a = (W·in + gate_bias > 0) · max(W·in · exp(r_mag) + mag_bias, 0). There is no `encoder_bias`. */
export const gatedSpec = onePassSpec({
  kind: "gated",
  tensors: ({ m }) => ({ gate_bias: [m], mag_bias: [m], r_mag: [m] }),
});
