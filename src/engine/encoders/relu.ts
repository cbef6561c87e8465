import { onePassSpec } from "./one-pass.ts";

/** a = max(h, 0): SAELens `standard`, dictionary_learning `AutoEncoder`. Undecided at h = 0. */
export const reluSpec = onePassSpec({
  kind: "relu",
  activation: ({ m }) => ({
    screen: { by: "limit", limits: new Float32Array(m) },
    value: (h) => h,
  }),
  reference: ({ h }) => ({
    values: h.map((value) => Math.max(value, 0)),
    margins: h.map(Math.abs),
  }),
});
