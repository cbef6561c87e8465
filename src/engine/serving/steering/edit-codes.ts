import type { CodeEdit } from "../../core/edits.ts";
import { boundsOf, invalidEdit } from "../../core/read-edits.ts";
import type { SparseCodes } from "../../core/sparse-codes.ts";
import type { CodeDelta } from "../../core/steer-batch.ts";

export interface EditedCodes {
  readonly delta: CodeDelta;
  /** [count · e] the coefficient just before the edit and just after; NaN where the edit does not apply to the row. */
  readonly before: Float64Array;
  readonly after: Float64Array;
}

/**
 * Code edits on z in order, as the one sparse delta z' − z (docs/steering.md).
 * @param applies [count · e] 1 where the edit applies to the row
 * @param names [e] what each edit is called in a complaint
 * @throws EngineError PURSUIT_INVALID_EDIT when a coefficient leaves float32.
 */
export function editCodes(
  codes: SparseCodes,
  edits: readonly CodeEdit[],
  applies: Uint8Array,
  names: readonly string[],
): EditedCodes {
  const { count, indptr, norm } = codes;
  const e = edits.length;
  const features = Uint32Array.from(new Set(edits.map(({ feature }) => feature))).sort();
  const slots = edits.map(({ feature }) => features.indexOf(feature));
  const before = new Float64Array(count * e).fill(NaN);
  const after = new Float64Array(count * e).fill(NaN);
  const start = new Float64Array(features.length);
  const z = new Float64Array(features.length);
  const deltaPointers = new Uint32Array(count + 1);
  const indices: number[] = [];
  const values: number[] = [];
  for (let i = 0; i < count; i++) {
    for (const [slot, feature] of features.entries()) start[slot] = coefficient(codes, i, feature);
    z.set(start);
    for (let k = 0; k < e; k++) {
      if (applies[i * e + k] === 0) continue;
      const slot = slots[k]!;
      const old = z[slot]!;
      const next = editCoefficient(old, edits[k]!);
      if (!Number.isFinite(Math.fround(next))) {
        throw invalidEdit(`${names[k]} takes feature ${features[slot]} of row ${i} beyond what float32 holds.`);
      }
      before[i * e + k] = old;
      after[i * e + k] = next;
      z[slot] = next;
    }
    for (const [slot, feature] of features.entries()) {
      const change = z[slot]! - start[slot]!;
      if (change === 0) continue;
      indices.push(feature);
      values.push(change);
    }
    deltaPointers[i + 1] = indices.length;
  }
  const delta = {
    indptr: deltaPointers,
    indices: Uint32Array.from(indices),
    values: Float64Array.from(values),
    ...(norm && { scale: norm.scale }),
  };
  return { delta, before, after };

  /** z of row i at a feature, by bisection; an absent atom is 0. */
  function coefficient({ indices: active, values: amounts }: SparseCodes, i: number, feature: number): number {
    let low = indptr[i]!;
    let high = indptr[i + 1]!;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (active[middle]! < feature) low = middle + 1;
      else high = middle;
    }
    return low < indptr[i + 1]! && active[low] === feature ? amounts[low]! : 0;
  }
}

/** One edit on one coefficient. */
export function editCoefficient(z: number, { op, value, min, max, when }: CodeEdit): number {
  if (when !== undefined) {
    const [from, to] = boundsOf(when);
    if (z < from || z > to) return z;
  }
  switch (op) {
    case "add":
      return z + value!;
    case "set":
      return value!;
    case "scale":
      return z * value!;
    case "remove":
      return 0;
    case "clamp": {
      if (value !== undefined) return value;
      const [from, to] = boundsOf({ ...(min !== undefined && { min }), ...(max !== undefined && { max }) });
      return Math.min(Math.max(z, from), to);
    }
  }
}
