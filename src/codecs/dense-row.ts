import type { SparseCodes } from "../engine/core/sparse-codes.ts";

/** Row i with its zeros, [m]; written to `into` at `at` where it is given. */
export function denseRow(codes: SparseCodes, i: number, into = new Float32Array(codes.width), at = 0): Float32Array {
  const { indptr, indices, values } = codes;
  for (let k = indptr[i]!; k < indptr[i + 1]!; k++) into[at + indices[k]!] = values[k]!;
  return into;
}
