import type { EncoderSettings, OrthogonalSettings, PursuitSettings, Role } from "./dictionary.ts";

/** What every dictionary has in memory. */
export interface Atoms {
  /** Width of an atom: what decode makes. A pursuit's rows are as wide. */
  readonly d: number;
  /** Number of atoms. */
  readonly m: number;
  /** [m, d], row j is atom j, not necessarily of unit norm. */
  readonly atoms: Float32Array;
  /** [d] b, which decode adds; present exactly when `settings.center`. */
  readonly center: Float32Array | null;
}

/** A dictionary in memory: what a session is built from. */
export interface DictionaryWeights<S extends EncoderSettings = EncoderSettings> extends Atoms {
  /** A kind of src/engine/encoders/registry.ts. */
  readonly kind: string;
  /** Absent: autoencoder. */
  readonly role?: Role;
  /** Row length; absent: d. */
  readonly dIn?: number;
  readonly settings: S;
  /** Tensors of the encoder beside `atoms` and `center`, by their names on disk; absent for pursuits. */
  readonly tensors?: Readonly<Record<string, Float32Array>>;
}

export interface PursuitWeights extends DictionaryWeights<PursuitSettings> {
  readonly kind: "matching_pursuit";
}

export interface OrthogonalWeights extends DictionaryWeights<OrthogonalSettings> {
  readonly kind: "orthogonal_matching_pursuit";
}

export const isPursuit = (weights: DictionaryWeights): weights is PursuitWeights => weights.kind === "matching_pursuit";

export const isOrthogonal = (weights: DictionaryWeights): weights is OrthogonalWeights =>
  weights.kind === "orthogonal_matching_pursuit";
