/** Facts about a dictionary that every folder may know: its shape, its encoder's settings, where it came from. */
import type { Budget } from "./budget.ts";

/** Which score wins a step (docs/algorithm.md, Matching pursuit). */
export const SCORES = ["relu", "signed", "absolute"] as const;
export type Score = (typeof SCORES)[number];

/** Scores of an orthogonal pursuit. Under `relu` the coefficients are non-negative. */
export const ORTHOGONAL_SCORES = ["absolute", "relu"] as const;
export type OrthogonalScore = (typeof ORTHOGONAL_SCORES)[number];

/** What happens when an atom is selected a second time. */
export const RESELECTS = ["stop", "add", "forbid"] as const;
export type Reselect = (typeof RESELECTS)[number];

export const INPUT_NORMS = ["none", "layer_norm", "constant_norm_rescale"] as const;
export type InputNorm = (typeof INPUT_NORMS)[number];

/** Added to the standard deviation by `layer_norm`, as SAELens and OpenAI do. */
export const LAYER_NORM_EPSILON = 1e-5;

/** Settings that every encoder has. They come from the manifest and are never guessed. */
export interface EncoderSettings {
  /** Whether decode adds b; a pursuit subtracts it first. */
  readonly center: boolean;
  readonly inputNorm: InputNorm;
}

/** Settings of a matching-pursuit encoder. */
export interface PursuitSettings extends EncoderSettings {
  readonly score: Score;
  readonly reselect: Reselect;
  /** Absolute, tested after an update, strict <; 0 is off. */
  readonly residualThreshold: number;
  /** Cap on the selections of one row; null: the server's PURSUIT_MAX_ATOMS. */
  readonly maxAtoms: number | null;
}

/** Settings of an orthogonal matching-pursuit encoder, which selects an atom at most once. */
export interface OrthogonalSettings extends Omit<PursuitSettings, "score" | "reselect"> {
  readonly score: OrthogonalScore;
  /** Scores are D·r as it is (mergekit); otherwise divided by ||D_j||. */
  readonly rawScores: boolean;
}

/** Score of an orthogonal pursuit over a dictionary of plain pursuit: non-negative like its own, or of either sign. */
export const orthogonalScore = (score: Score): OrthogonalScore => (score === "relu" ? "relu" : "absolute");

/** How a dictionary of plain pursuit is encoded with orthogonally, by default by its own score. */
export function orthogonalSettings(
  { score: own, reselect: _, ...same }: PursuitSettings,
  score = orthogonalScore(own),
): OrthogonalSettings {
  return { ...same, score, rawScores: false };
}

/** Encoders that a request may choose instead of the dictionary's own. */
export const REQUEST_ENCODERS = ["matching_pursuit", "orthogonal"] as const;
export type RequestEncoderKind = (typeof REQUEST_ENCODERS)[number];

/** An encoder as a request names it. An absent setting takes its default (docs/pursuit-over-decoder.md). */
export type RequestEncoder =
  | { readonly kind: "matching_pursuit"; readonly score?: Score; readonly reselect?: Reselect }
  | { readonly kind: "orthogonal"; readonly score?: OrthogonalScore };

/** The same with every setting resolved: how a batch is encoded where not by the dictionary's own settings. */
export type PursuitChoice = Required<RequestEncoder>;

/**
 * What goes in and comes out. `autoencoder`: the row itself. `transcoder`: another activation of the same token. The other two
 * read and write several layers side by side: a `crosscoder` the row itself, a `cross_layer_transcoder` other activations.
 */
export const ROLES = ["autoencoder", "transcoder", "crosscoder", "cross_layer_transcoder"] as const;
export type Role = (typeof ROLES)[number];

/** Whether decode makes the row that was encoded. */
export const makesItsRow = (role: Role): boolean => role === "autoencoder" || role === "crosscoder";

/** Whether rows and outputs hold several layers side by side. */
export const isLayered = (role: Role): boolean => role === "crosscoder" || role === "cross_layer_transcoder";

/** Atoms [from, to) of a dictionary over several layers that read one layer. */
export interface Block {
  readonly from: number;
  readonly to: number;
  /** The layer that they read, counted from 0 within the row. */
  readonly layer: number;
  /** Layers that they write to, ascending. */
  readonly writes: readonly number[];
}

/** Where a dictionary came from: source model, layer or hook, data, licence, figures. Shown; codes do not depend on it. */
export type Provenance = Readonly<Record<string, unknown>>;

/** As a hub names repositories. No leading dot: it becomes part of a path. */
const MODEL_NAME = /^[A-Za-z0-9][\w.-]{0,127}\/[A-Za-z0-9][\w.-]{0,127}$/;

/** The model whose sentence embeddings the rows are, as owner/name on a hub; null where provenance names none. */
export function sentenceModelOf({ sentence_model: model }: Provenance): string | null {
  return typeof model === "string" && MODEL_NAME.test(model) ? model : null;
}

/** `dictionary.json`, parsed and checked, with camelCase names. */
export interface DictionaryManifest {
  readonly id: string;
  /** A kind of src/engine/encoders/registry.ts, whose spec says what `encoder` holds. */
  readonly kind: string;
  readonly encoder: EncoderSettings;
  readonly role: Role;
  /** Row length, of all layers together. */
  readonly dIn: number;
  /** Length of a decoded row; a transcoder's may differ. */
  readonly dOut: number;
  /** Number of atoms. */
  readonly m: number;
  /** Layers side by side in a row, and in an output; of crosscoders and cross-layer transcoders only. */
  readonly layers?: number;
  /** Atoms by the layer that they read, in order; absent: every atom reads the whole row. */
  readonly blocks?: readonly Block[];
  /** Nested widths, ascending, the last one m: the first so many atoms are a dictionary of their own (Matryoshka). */
  readonly groups?: readonly number[];
  readonly provenance: Provenance;
  /** Holds for rows without any budget; absent: no limit but the encoder's own. */
  readonly defaultBudget?: Budget;
}

/** `{id}` in paths and folder names. No separator, no leading dot: it can never leave the models folder. */
export const DICTIONARY_ID_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$";

/** How matching pursuit is executed: see docs/architecture.md for the rule by which one is chosen. */
export const PURSUIT_PATHS = ["fused", "fused_residual", "gram", "residual"] as const;
export type PursuitPath = (typeof PURSUIT_PATHS)[number];

/** `hung`: no answer for many times the predicted time; the watchdog will end it. `restarting`: it is started anew. */
export const RUNTIME_STATES = ["running", "hung", "restarting"] as const;
export type RuntimeState = (typeof RUNTIME_STATES)[number];

/** What executes a dictionary, as chosen at load. */
export interface RuntimeChoice {
  readonly runtime: "cpu" | "cuda";
  /**
   * How correlations come about. `fused`: by Gram rows, in the kernel. `fused_residual`: D·r every step, the rest in the
   * kernel. `gram` and `residual`: the same two within one ONNX graph. `dense`: one pass, no pursuit.
   */
  readonly path: PursuitPath | "dense";
}

/**
 * Figures over the atoms, computed once at load.
 * `maxCosine`: the largest |cosine| between two different atoms (mutual coherence); null when m = 1, or when m is too
 * large to have been computed.
 */
export interface CoherenceFigures {
  readonly maxCosine: number | null;
  readonly minNorm: number;
  readonly maxNorm: number;
}

/** The least and the largest of some numbers. */
export interface ValueRange {
  readonly min: number;
  readonly max: number;
}

export interface Neighbour {
  readonly index: number;
  readonly cosine: number;
}

/** What is known of a feature beside its weights (labels.json); each part may be unknown. */
export interface FeatureFacts {
  /** What its rows have in common, in words. */
  readonly text?: string;
  /** How well the text separates the rows that it fires on; what a score means is the labeller's to say. */
  readonly score?: number;
  /** Share of held-out rows in which it is active. */
  readonly rate?: number;
  /** Where the text comes from, and who wrote it. */
  readonly source?: string;
  readonly author?: string;
}
