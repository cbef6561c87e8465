import type { OrthogonalSettings, PursuitSettings, TopkSettings } from "./dictionary.ts";

/** What every dictionary has in memory. */
export interface Atoms {
  /** Row length. */
  readonly d: number;
  /** Number of atoms. */
  readonly m: number;
  /** [m, d], row j is atom j, not necessarily of unit norm. */
  readonly atoms: Float32Array;
  /** [d] b, which decode adds; present exactly when `settings.center`. */
  readonly center: Float32Array | null;
}

export interface PursuitWeights extends Atoms {
  readonly kind: "matching_pursuit";
  readonly settings: PursuitSettings;
}

export interface OrthogonalWeights extends Atoms {
  readonly kind: "orthogonal_matching_pursuit";
  readonly settings: OrthogonalSettings;
}

export interface TopkWeights extends Atoms {
  readonly kind: "topk";
  readonly settings: TopkSettings;
  /** [m, d] */
  readonly encoderWeight: Float32Array;
  /** [m] */
  readonly encoderBias: Float32Array;
}

/** A dictionary in memory: what a session is built from. */
export type DictionaryWeights = PursuitWeights | OrthogonalWeights | TopkWeights;
