import { DIRECTION_OPS, type DirectionEdit } from "../../core/edits.ts";
import type { DirectionColumns } from "../../core/steer-batch.ts";

/** Direction edits as the runtime takes them. @param applies [count · e] */
export function directionColumns(edits: readonly DirectionEdit[], d: number, applies: Uint8Array): DirectionColumns {
  const given = edits.flatMap(({ vector }) => (vector === undefined ? [] : [vector]));
  const vectors = new Float32Array(given.length * d);
  for (const [k, vector] of given.entries()) vectors.set(vector, k * d);
  return {
    ops: Uint8Array.from(edits, ({ op }) => DIRECTION_OPS.indexOf(op)),
    features: Int32Array.from(edits, ({ feature = -1 }) => feature),
    vectors,
    strengths: Float64Array.from(edits, ({ strength = 1 }) => strength),
    relative: Uint8Array.from(edits, ({ relative = false }) => Number(relative)),
    min: Float64Array.from(edits, ({ min = -Infinity }) => min),
    max: Float64Array.from(edits, ({ max = Infinity }) => max),
    applies,
  };
}
