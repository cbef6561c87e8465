import { kFaults, onePassSpec, scaleByDecoderNormSchema, type ScaledSettings } from "../one-pass.ts";

export interface TopkSettings extends ScaledSettings {
  readonly k: number;
  /** Whether negative scores among the k largest are dropped; default true. `false`: circuit-tracer, Qwen Scope. */
  readonly rectify?: boolean;
}

/** a = the k largest of h, the others 0. */
export const topkSpec = onePassSpec<TopkSettings>({
  kind: "topk",
  schema: (type) => ({
    k: type.Integer({ minimum: 1 }),
    rectify: type.Optional(type.Boolean()),
    scale_by_decoder_norm: type.Optional(scaleByDecoderNormSchema(type)),
  }),
  faults: kFaults,
});
