import { kFaults, onePassSpec, scaleByDecoderNormSchema, type ScaledSettings } from "./one-pass.ts";
import { selectionMargins } from "./reference.ts";

export interface TopkSettings extends ScaledSettings {
  readonly k: number;
  /** Whether negative scores among the k largest are dropped; default true. `false`: circuit-tracer, Qwen Scope. */
  readonly rectify?: boolean;
}

/** a = the k largest of h, the others 0. Undecided at the limit of the selection, and at 0 where negative scores are dropped. */
export const topkSpec = onePassSpec<TopkSettings>({
  kind: "topk",
  schema: (type) => ({
    k: type.Integer({ minimum: 1 }),
    rectify: type.Optional(type.Boolean()),
    scale_by_decoder_norm: type.Optional(scaleByDecoderNormSchema(type)),
  }),
  faults: kFaults,
  activation: ({ settings }, norms) => {
    const { k, rectify = true, scaleByDecoderNorm = false } = settings;
    const valueOf =
      scaleByDecoderNorm === true ? (h: number, j: number) => Math.fround(h * norms[j]!) : (h: number) => h;
    return {
      screen: { by: "rank", k, magnitude: false, factors: scaleByDecoderNorm === false ? null : norms },
      value: rectify ? (h, j) => Math.max(valueOf(h, j), 0) : valueOf,
    };
  },
  reference: ({ h, norms, weights: { settings } }) => {
    const { k, rectify = true, scaleByDecoderNorm = false } = settings;
    const scale = scaleByDecoderNorm === false ? h.map(() => 1) : norms;
    const scores = h.map((value, j) => value * scale[j]!);
    const { selected, margins } = selectionMargins(scores, k);
    const values = scaleByDecoderNorm === "select" ? h : scores;
    return {
      values: values.map((value, j) => (selected[j] ? (rectify ? Math.max(value, 0) : value) : 0)),
      margins: rectify ? margins.map((margin, j) => Math.min(margin, Math.abs(scores[j]!))) : margins,
      scale,
    };
  },
});
