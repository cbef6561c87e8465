/** Edits of rows by their features (docs/steering.md). Their names are the wire's: a set is kept as it came. */

/** Ops that change a coefficient of the row's code. */
export const CODE_OPS = ["add", "set", "scale", "remove", "clamp"] as const;
export type CodeOp = (typeof CODE_OPS)[number];

/** Ops that act on the row along a unit direction. */
export const DIRECTION_OPS = ["add_direction", "project_out", "project_cap"] as const;
export type DirectionOp = (typeof DIRECTION_OPS)[number];

/** Edits of one request at most, those of a named set included. */
export const MAX_EDITS = 256;

/** Inclusive bounds; at least one is there. */
export interface Range {
  readonly min?: number;
  readonly max?: number;
}

/** Changes z_feature; an absent atom is 0. */
export interface CodeEdit extends Range {
  readonly op: CodeOp;
  readonly feature: number;
  /** add, set, scale; clamp: both bounds at once. */
  readonly value?: number;
  /** Skips a row whose coefficient, as the edits before left it, lies outside. */
  readonly when?: Range;
  /** Rows that it applies to, ascending or not; absent: the request's. */
  readonly rows?: readonly number[];
}

/** Acts on the running row y along u = v / ||v||, v being the feature's atom or the vector. */
export interface DirectionEdit extends Range {
  readonly op: DirectionOp;
  readonly feature?: number;
  /** [d]; exactly one of feature and vector is there. */
  readonly vector?: readonly number[];
  /** add_direction: y + strength · u. project_out: y − strength · (y·u) u, 1 if absent. */
  readonly strength?: number;
  /** add_direction: strength is in units of ||x||, the norm of the row as it was posted. */
  readonly relative?: boolean;
  readonly rows?: readonly number[];
}

export type Edit = CodeEdit | DirectionEdit;

export const isCodeEdit = (edit: Edit): edit is CodeEdit => (CODE_OPS as readonly string[]).includes(edit.op);
