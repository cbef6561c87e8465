import Type from "typebox";
import { kFaults, onePassSpec, scaleByDecoderNormSchema, type ScaledSettings } from "../one-pass.ts";

export interface TopkSettings extends ScaledSettings {
  readonly k: number;
  /** Whether negative scores among the k largest are dropped; default true. `false`: circuit-tracer, Qwen Scope. */
  readonly rectify?: boolean;
}

/** a = the k largest of h, the others 0. */
export const topkSpec = onePassSpec<TopkSettings>({
  kind: "topk",
  schema: {
    k: Type.Integer({ minimum: 1 }),
    rectify: Type.Optional(Type.Boolean()),
    scale_by_decoder_norm: Type.Optional(scaleByDecoderNormSchema),
  },
  faults: kFaults,
});
