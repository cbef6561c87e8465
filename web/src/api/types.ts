/** Answers of the server, as the routes' own schemas describe them. */
import type { DictionaryWire } from "../../../src/routes/v1/dictionary-schemas.ts";
import type { Static } from "typebox";
import type { FeaturePageSchema, FeatureSchema } from "../../../src/routes/v1/feature-schemas.ts";
import type { SteerAnswerSchema, SteeringSetSchema, SteeringSetsSchema } from "../../../src/routes/v1/steer-schemas.ts";

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
  readonly labels?: readonly (string | null)[];
  /** Where each comes from. */
  readonly label_sources?: readonly (string | null)[];
  readonly trace: {
    readonly indices: readonly number[];
    readonly values: readonly number[];
    /** ‖r‖ after each selection; absent for a transcoder without targets. */
    readonly residual_norms?: readonly number[];
  };
}

export interface EncodeAnswer {
  readonly dictionary: string;
  readonly sha256: string;
  readonly warning?: string;
  readonly codes: readonly Code[];
}

export type FeaturePage = Static<typeof FeaturePageSchema>;
export type FeatureSummary = FeaturePage["features"][number];
export type Feature = Static<typeof FeatureSchema>;
/** As POST …/contrast answers. */
export interface ContrastAnswer {
  readonly a: { readonly rows: number };
  readonly b: { readonly rows: number };
  /** Σ min(rate_a, rate_b) / Σ max(rate_a, rate_b) */
  readonly overlap: number | null;
  readonly chance?: {
    readonly overlap: { readonly low: number; readonly high: number };
    /** Share of divisions with as little overlap. */
    readonly overlap_p_value: number;
  };
  readonly features: readonly {
    readonly index: number;
    readonly label?: string;
    readonly label_source?: string;
    readonly jensen_shannon: number;
    readonly p_value?: number;
    readonly rate: { readonly a: number; readonly b: number };
  }[];
}

export type SteerAnswer = Static<typeof SteerAnswerSchema>;
export type SteeringSet = Omit<Static<typeof SteeringSetSchema>, "edits"> & {
  readonly edits: readonly Readonly<Record<string, unknown>>[];
};
export type SteeringSets = Static<typeof SteeringSetsSchema>;
