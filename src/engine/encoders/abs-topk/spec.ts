import { kFaults, onePassSpec, scaleByDecoderNormSchema, type ScaledSettings } from "../one-pass.ts";

export interface AbsTopkSettings extends ScaledSettings {
  readonly k: number;
}

/** a = the k entries of h with the largest magnitudes, signs kept, the others 0. */
export const absTopkSpec = onePassSpec<AbsTopkSettings>({
  kind: "abs_topk",
  schema: (type) => ({
    k: type.Integer({ minimum: 1 }),
    scale_by_decoder_norm: type.Optional(scaleByDecoderNormSchema(type)),
  }),
  faults: kFaults,
});
