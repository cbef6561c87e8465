import type { PursuitTrace } from "../../core/sparse-codes.ts";

/** Room for a trace of so many selections of each row. @param steps [count] */
export function emptyTrace(steps: Uint32Array): Required<PursuitTrace> {
  const indptr = new Uint32Array(steps.length + 1);
  for (let i = 0; i < steps.length; i++) indptr[i + 1] = indptr[i]! + steps[i]!;
  const total = indptr[steps.length]!;
  return {
    indptr,
    indices: new Uint32Array(total),
    values: new Float32Array(total),
    residualNorms: new Float32Array(total),
  };
}
