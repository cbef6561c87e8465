/**
 * Why a row's pursuit ended (docs/algorithm.md, Stop reasons), by their numbers in {@link SparseCodes.stops}.
 * `degraded`: shortened under load, as the request allowed. `dependent` is orthogonal pursuit's.
 */
export const STOP_REASONS = [
  "max_atoms",
  "tolerance",
  "residual_norm",
  "min_gain",
  "no_gain",
  "repeat",
  "degraded",
  "dependent",
  "active_end",
] as const;

export type StopReason = (typeof STOP_REASONS)[number];

/** Every selection of every row, unmerged and in order: row i's are `indptr[i] … indptr[i + 1]`. */
export interface PursuitTrace {
  /** [n + 1] */
  readonly indptr: Uint32Array;
  readonly indices: Uint32Array;
  readonly values: Float32Array;
  /** ||r|| after that selection, in pursuit space. */
  readonly residualNorms: Float32Array;
}

/**
 * Sparse codes of a batch in compressed-sparse-row form. Within a row `indices` ascend and are distinct, `values`
 * hold no zero and no NaN (a re-selected atom is one entry, its values summed).
 */
export interface SparseCodes {
  /** Number of rows, n. */
  readonly count: number;
  /** Number of atoms, m. */
  readonly width: number;
  /** [n + 1] */
  readonly indptr: Uint32Array;
  /** [nnz] */
  readonly indices: Uint32Array;
  /** [nnz] */
  readonly values: Float32Array;
  /** [n] selections made. */
  readonly steps: Uint32Array;
  /** [n] positions in {@link STOP_REASONS}. */
  readonly stops: Uint8Array;
  /** [n] ||r|| in pursuit space, recomputed from x and z. */
  readonly residualNorms: Float32Array;
  /** [n] ||r|| / ||x - b||; 0 where x = b. */
  readonly relativeErrors: Float32Array;
  /** Present under an input norm: what decode needs to undo it, x = y · scale + shift. */
  readonly norm?: { readonly shift: Float32Array; readonly scale: Float32Array };
  readonly trace?: PursuitTrace;
  /** [n · d] x̂, in the space of the posted rows. */
  readonly reconstruction?: Float32Array;
}

/** Codes to be decoded: SparseCodes' columns as a client can know them. Indices may come in any order. */
export interface CodesToDecode {
  readonly count: number;
  readonly indptr: Uint32Array;
  readonly indices: Uint32Array;
  readonly values: Float32Array;
  /** Required when the dictionary has an input norm. */
  readonly norm?: { readonly shift: Float32Array; readonly scale: Float32Array };
}
