import type { SparseCodes } from "../../core/sparse-codes.ts";
import type { MovedFeatures } from "../../core/steering.ts";

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
