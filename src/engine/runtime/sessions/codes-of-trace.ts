import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { Atoms } from "../../core/dictionary-weights.ts";
import type { PursuitTrace, SparseCodes } from "../../core/sparse-codes.ts";
import { LARGEST_FLOAT32 } from "../../core/float-formats.ts";
import type { CenteredRows } from "./prepare-rows.ts";

/** What an encoder found: every selection in order, and why each row ended. */
export interface Found {
  readonly trace: PursuitTrace;
  /** [count] positions in STOP_REASONS. */
  readonly stops: Uint8Array;
}

/** Selections as codes: merged, in ascending order, with the final residual from x and z. */
export function codesOfTrace(
  { trace, stops }: Found,
  rows: CenteredRows,
  batch: EncodeBatch,
  weights: Atoms,
): SparseCodes {
  const { count } = batch;
  const merged = mergeRows(trace, count);
  const { residualNorms, relativeErrors, reconstruction } = residuals(merged, rows, batch, weights);
  return {
    count,
    width: weights.m,
    ...merged,
    steps: Uint32Array.from({ length: count }, (_, i) => trace.indptr[i + 1]! - trace.indptr[i]!),
    stops,
    residualNorms,
    relativeErrors,
    ...(rows.norm && { norm: rows.norm }),
    ...(batch.trace && { trace }),
    ...(reconstruction && { reconstruction }),
  };
}

/** One entry per atom, summed in float32 in the order of selection, ascending, without zeros. */
function mergeRows(
  { indptr, indices, values }: PursuitTrace,
  count: number,
): Pick<SparseCodes, "indptr" | "indices" | "values"> {
  const merged = {
    indptr: new Uint32Array(count + 1),
    indices: new Uint32Array(indices.length),
    values: new Float32Array(indices.length),
  };
  let to = 0;
  for (let i = 0; i < count; i++) {
    const from = indptr[i]!;
    const row = indices.subarray(from, indptr[i + 1]);
    // Stable: selections of one atom stay in their order.
    const order = Array.from(row.keys()).sort((a, b) => row[a]! - row[b]!);
    for (let k = 0; k < order.length;) {
      const atom = row[order[k]!]!;
      let sum = 0;
      for (; k < order.length && row[order[k]!] === atom; k++) sum = Math.fround(sum + values[from + order[k]!]!);
      if (sum === 0) continue;
      merged.indices[to] = atom;
      merged.values[to++] = sum;
    }
    merged.indptr[i + 1] = to;
  }
  return { indptr: merged.indptr, indices: merged.indices.subarray(0, to), values: merged.values.subarray(0, to) };
}

/** ||x − b − Dᵀz|| in float64 from the row and its code: no running sum, so nothing has drifted. */
function residuals(
  { indptr, indices, values }: Pick<SparseCodes, "indptr" | "indices" | "values">,
  { scaled, unscale, energy, norm }: CenteredRows,
  { count, reconstruction: wanted }: EncodeBatch,
  { atoms, center, d }: Atoms,
): { residualNorms: Float32Array; relativeErrors: Float32Array; reconstruction: Float32Array | null } {
  const residualNorms = new Float32Array(count);
  const relativeErrors = new Float32Array(count);
  const reconstruction = wanted ? new Float32Array(count * d) : null;
  const fit = new Float64Array(d);
  for (let i = 0; i < count; i++) {
    fit.fill(0);
    for (let k = indptr[i]!; k < indptr[i + 1]!; k++) {
      const value = values[k]!;
      const atom = indices[k]! * d;
      for (let c = 0; c < d; c++) fit[c]! += value * atoms[atom + c]!;
    }
    let squares = 0;
    for (let c = 0; c < d; c++) squares += (scaled[i * d + c]! - fit[c]! / unscale[i]!) ** 2;
    const left = Math.sqrt(squares);
    // A row of finite numbers may be longer than float32 reaches.
    residualNorms[i] = Math.min(left * unscale[i]!, LARGEST_FLOAT32);
    relativeErrors[i] = energy[i] === 0 ? 0 : left / Math.sqrt(energy[i]!);
    if (reconstruction === null) continue;
    const scale = norm?.scale[i] ?? 1;
    const shift = norm?.shift[i] ?? 0;
    for (let c = 0; c < d; c++) reconstruction[i * d + c] = (fit[c]! + (center?.[c] ?? 0)) * scale + shift;
  }
  return { residualNorms, relativeErrors, reconstruction };
}
