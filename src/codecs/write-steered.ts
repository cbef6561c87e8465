import type { PursuitChoice } from "../engine/core/dictionary.ts";
import type { Rows } from "../engine/core/rows.ts";
import type { SteerEffect } from "../engine/core/steering.ts";
import { outputsOf, shortestFloat32, shortestFloats } from "./write-codes.ts";
import { rowsBytes } from "./answers.ts";

/** Steered rows and their effect. */
export interface Steered {
  readonly rows: Rows;
  /** [n] */
  readonly norms: Float64Array;
  readonly effect?: SteerEffect;
  /** The pursuit that made the codes; absent: the dictionary's own encoder. */
  readonly pursuit?: PursuitChoice;
}

export interface SteerAnswerHead {
  readonly dictionary: string;
  readonly sha256: string;
  /** [batch, seq, d] if the rows had more than one leading dimension. */
  readonly shape: readonly number[] | null;
  /** Name of the set used. */
  readonly set: string | null;
}

/** Writes a steer answer as JSON. */
export function writeSteered(
  { rows, norms, effect, pursuit }: Steered,
  { dictionary, sha256, shape, set }: SteerAnswerHead,
): string {
  const asked = new Set(effect?.features);
  const changes = Array.from(norms, (norm, i) => ({
    norm: shortestFloat32(norm),
    ...(effect && { edits: editsOf(effect, i, set), moved: movedOf(effect, i, asked) }),
  }));
  const about = { dictionary, sha256, ...(pursuit && { encoder: pursuit }), ...(shape && { shape }) };
  return JSON.stringify({ ...about, outputs: outputsOf(rows), changes });
}

/** The edits of row i, in order. */
function editsOf({ features, fromSet, before, after }: SteerEffect, i: number, set: string | null): readonly object[] {
  const e = features.length;
  return [...features].flatMap((feature, k) => {
    const was = before[i * e + k]!;
    if (Number.isNaN(was)) return [];
    return {
      edit: k < fromSet ? k : k - fromSet,
      ...(k < fromSet && { set }),
      ...(feature >= 0 && { feature }),
      before: shortestFloat32(was),
      after: shortestFloat32(after[i * e + k]!),
    };
  });
}

function movedOf({ moved }: SteerEffect, i: number, asked: ReadonlySet<number>): readonly object[] {
  const from = moved.indptr[i]!;
  const to = moved.indptr[i + 1]!;
  const before = shortestFloats(moved.before.subarray(from, to));
  const after = shortestFloats(moved.after.subarray(from, to));
  return Array.from(moved.indices.subarray(from, to), (feature, k) => ({
    feature,
    before: before[k],
    after: after[k],
    asked: asked.has(feature),
  }));
}

/** Maximum bytes of JSON: a row's change, an edit of a row without its set's name, a moved feature. */
const CHANGE_BYTES = 80;
const EDIT_BYTES = 120;
const MOVED_BYTES = 120;

/** Upper bound of a steer answer's bytes. */
export function steeredBytes({ rows, norms, effect }: Steered, set: string | null): number {
  const plain = rowsBytes(rows) + norms.length * CHANGE_BYTES;
  if (!effect) return plain;
  const applied = effect.before.reduce((sum, value) => sum + (Number.isNaN(value) ? 0 : 1), 0);
  return plain + applied * (EDIT_BYTES + (set?.length ?? 0)) + effect.moved.indices.length * MOVED_BYTES;
}
