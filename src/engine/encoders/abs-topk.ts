import { kFaults, onePassSpec, scaleByDecoderNormSchema, type ScaledSettings } from "./one-pass.ts";
import { selectionMargins } from "./reference.ts";

export interface AbsTopkSettings extends ScaledSettings {
  readonly k: number;
}

/** a = the k entries of h with the largest magnitudes, signs kept, the others 0. Undecided at the limit of the selection. */
export const absTopkSpec = onePassSpec<AbsTopkSettings>({
  kind: "abs_topk",
  schema: (type) => ({
    k: type.Integer({ minimum: 1 }),
    scale_by_decoder_norm: type.Optional(scaleByDecoderNormSchema(type)),
  }),
  faults: kFaults,
  activation: ({ settings }, norms) => {
    const { k, scaleByDecoderNorm = false } = settings;
    return {
      screen: { by: "rank", k, magnitude: true, factors: scaleByDecoderNorm === false ? null : norms },
      value: scaleByDecoderNorm === true ? (h, j) => Math.fround(h * norms[j]!) : (h) => h,
    };
  },
  reference: ({ h, norms, weights: { settings } }) => {
    const { k, scaleByDecoderNorm = false } = settings;
    const scale = scaleByDecoderNorm === false ? h.map(() => 1) : norms;
    const { selected, margins } = selectionMargins(
      h.map((value, j) => Math.abs(value * scale[j]!)),
      k,
    );
    const values = scaleByDecoderNorm === true ? h.map((value, j) => value * scale[j]!) : h;
    return { values: values.map((value, j) => (selected[j] ? value : 0)), margins, scale };
  },
});
