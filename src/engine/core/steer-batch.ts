/** One steering call: a sparse delta first, then directions in order (docs/steering.md). */
export interface SteerBatch {
  /** [count, d], finite; never written to. */
  readonly rows: Float32Array;
  readonly count: number;
  readonly delta: CodeDelta;
  readonly directions: DirectionColumns;
}

/** z' − z in compressed-row form, without zeros, in pursuit space; `scale` undoes an input norm. */
export interface CodeDelta {
  /** [count + 1] */
  readonly indptr: Uint32Array;
  readonly indices: Uint32Array;
  /** float64, so that moving a coefficient there and back leaves only its rounding. */
  readonly values: Float64Array;
  /** [count] */
  readonly scale?: Float32Array;
}

/** e direction edits in columns. */
export interface DirectionColumns {
  /** [e] positions in DIRECTION_OPS */
  readonly ops: Uint8Array;
  /** [e] the feature whose atom is the direction; −1: the next of `vectors` */
  readonly features: Int32Array;
  /** [k · d], one for each −1 */
  readonly vectors: Float32Array;
  /** [e] */
  readonly strengths: Float64Array;
  /** [e] 1: the strength is in units of the posted row's norm */
  readonly relative: Uint8Array;
  /** [e] −Infinity if absent */
  readonly min: Float64Array;
  /** [e] Infinity if absent */
  readonly max: Float64Array;
  /** [count · e] 1 where the edit applies to the row */
  readonly applies: Uint8Array;
}

export interface SteeredBatch {
  /** [count, d] an unchanged row is the posted one bit for bit */
  readonly rows: Float32Array;
  /** [count] ||y − x|| */
  readonly norms: Float64Array;
  /** [count · e] the row's component along each direction just before its edit and just after; NaN if not applied */
  readonly before: Float64Array;
  readonly after: Float64Array;
}
