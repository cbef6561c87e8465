import {
  boundsOf,
  type CodeEdit,
  DIRECTION_OPS,
  type DirectionEdit,
  type Edit,
  invalidEdit,
} from "../../core/edits.ts";
import type { SparseCodes } from "../../core/sparse-codes.ts";
import type { CodeDelta, DirectionColumns } from "../../core/steer-batch.ts";
import type { MovedFeatures } from "../../core/steering.ts";

interface EditedCodes {
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

/**
 * Edits against the dictionary that they are for.
 * @throws EngineError PURSUIT_INVALID_EDIT naming the edit's index.
 */
export function checkEdits(edits: readonly Edit[], { d, m }: { readonly d: number; readonly m: number }): void {
  for (const [i, edit] of edits.entries()) {
    const { feature } = edit;
    if (feature !== undefined && feature >= m) {
      throw invalidEdit(`edits[${i}].feature is ${feature}; the dictionary has features 0 to ${m - 1}.`);
    }
    if ("vector" in edit && edit.vector !== undefined && edit.vector.length !== d) {
      throw invalidEdit(`edits[${i}].vector holds ${edit.vector.length} numbers; rows of this dictionary hold ${d}.`);
    }
  }
}

/** @throws EngineError PURSUIT_INVALID_EDIT when rows are named that the request does not hold. */
export function checkMasks(edits: readonly Edit[], only: readonly number[] | undefined, count: number): void {
  const check = (rows: readonly number[] | undefined, at: string): void => {
    const beyond = rows?.find((row) => row >= count);
    if (beyond !== undefined) throw invalidEdit(`${at} names row ${beyond}; the request holds rows 0 to ${count - 1}.`);
  };
  check(only, "rows");
  for (const [i, { rows }] of edits.entries()) check(rows, `edits[${i}].rows`);
}

/** Relative to the row's largest |coefficient|. Encoders that agree may differ by this much (docs/algorithm.md, Agreement). */
const NOISE = 1e-5;

/** Features whose coefficients differ between two codes of the same rows, by more than rounding would make them. */
export function movedFeatures(before: SparseCodes, after: SparseCodes): MovedFeatures {
  const { count } = before;
  const indptr = new Uint32Array(count + 1);
  const indices: number[] = [];
  const was: number[] = [];
  const is: number[] = [];
  for (let i = 0; i < count; i++) {
    let a = before.indptr[i]!;
    let b = after.indptr[i]!;
    const aEnd = before.indptr[i + 1]!;
    const bEnd = after.indptr[i + 1]!;
    const least = NOISE * Math.max(largest(before.values, a, aEnd), largest(after.values, b, bEnd));
    while (a < aEnd || b < bEnd) {
      const left = a < aEnd ? before.indices[a]! : Infinity;
      const right = b < bEnd ? after.indices[b]! : Infinity;
      const old = left <= right ? before.values[a++]! : 0;
      const now = right <= left ? after.values[b++]! : 0;
      if (Math.abs(now - old) <= least) continue;
      indices.push(Math.min(left, right));
      was.push(old);
      is.push(now);
    }
    indptr[i + 1] = indices.length;
  }
  return { indptr, indices: Uint32Array.from(indices), before: Float32Array.from(was), after: Float32Array.from(is) };
}

function largest(values: Float32Array, from: number, to: number): number {
  let most = 0;
  for (let k = from; k < to; k++) most = Math.max(most, Math.abs(values[k]!));
  return most;
}

/** [count · e] 1 where edit e applies to the row: its own rows, else the request's, else all. */
export function rowMask(edits: readonly Edit[], only: readonly number[] | undefined, count: number): Uint8Array {
  const e = edits.length;
  const applies = new Uint8Array(count * e);
  for (const [k, edit] of edits.entries()) {
    const rows = edit.rows ?? only;
    if (rows === undefined) for (let i = 0; i < count; i++) applies[i * e + k] = 1;
    else for (const row of rows) applies[row * e + k] = 1;
  }
  return applies;
}

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
