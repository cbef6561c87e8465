/** Answers of the server, as the routes' own schemas describe them. */
import type { DictionaryWire } from "../../../src/routes/v1/dictionary-schemas.ts";
import type { Static } from "typebox";
import type { FeaturePageSchema, FeatureSchema } from "../../../src/routes/v1/feature-schemas.ts";
import type { SteerAnswerSchema } from "../../../src/routes/v1/steer-schemas.ts";

export type Dictionary = DictionaryWire;

/** What an answer says of one row. */
export interface Code {
  readonly indices: readonly number[];
  readonly values: readonly number[];
  readonly atoms: number;
  readonly steps: number;
  readonly stop: string;
  readonly residual_norm?: number;
  readonly relative_error?: number;
  readonly labels?: readonly LabelWire[];
  readonly trace: {
    readonly indices: readonly number[];
    readonly values: readonly number[];
    /** ‖r‖ after each selection; absent for a transcoder without targets. */
    readonly residual_norms?: readonly number[];
  };
}

/** Text of a feature; from examples where nobody has labelled it. */
export type LabelWire = string | { readonly text: string; readonly source?: string } | null;

export interface EncodeAnswer {
  readonly dictionary: string;
  readonly sha256: string;
  readonly warning?: string;
  readonly codes: readonly Code[];
}

export type FeaturePage = Static<typeof FeaturePageSchema>;
export type FeatureSummary = FeaturePage["features"][number];
export type Feature = Static<typeof FeatureSchema>;
export type SteerAnswer = Static<typeof SteerAnswerSchema>;
