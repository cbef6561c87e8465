import type { Block, EncoderSettings, OrthogonalSettings, PursuitSettings, Role } from "./dictionary.ts";

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
  /** Layers side by side in a row; absent: one. */
  readonly layers?: number;
  /** Atoms by the layer that they read; absent: all read the whole row. */
  readonly blocks?: readonly Block[];
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

/** ||D_j|| of every atom, in float64. */
export function atomNorms({ atoms, m, d }: Pick<Atoms, "atoms" | "m" | "d">): Float64Array {
  const norms = new Float64Array(m);
  for (let j = 0; j < m; j++) {
    let squares = 0;
    for (let i = j * d; i < (j + 1) * d; i++) squares += atoms[i]! * atoms[i]!;
    norms[j] = Math.sqrt(squares);
  }
  return norms;
}

const known = new WeakMap<Float32Array, Float64Array>();

/** The same, computed once for a matrix that several rows are compared by. */
export function knownNorms(matrix: Pick<Atoms, "atoms" | "m" | "d">): Float64Array {
  let norms = known.get(matrix.atoms);
  if (norms === undefined) known.set(matrix.atoms, (norms = atomNorms(matrix)));
  return norms;
}
