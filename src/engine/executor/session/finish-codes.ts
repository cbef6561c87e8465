import type { EncodeBatch } from "../../encode-batch.ts";
import type { DictionaryWeights } from "../../dictionary-weights.ts";
import { type PursuitTrace, type SparseCodes, STOP_REASONS } from "../../sparse-codes.ts";
import type { PreparedRows } from "./prepare-rows.ts";

/** What the pursuit graph gives: T steps of `prepared.count` rows, and how far each row went. */
export interface PursuitRun {
  /** [T, count] int64, as the runtime gives it. */
  readonly indices: BigInt64Array;
  /** [T, count] */
  readonly values: Float32Array;
  /** [T, count] ||r||² after the step, scaled. */
  readonly energies: Float32Array;
  /** [count] */
  readonly steps: Int32Array;
  readonly stops: Int32Array;
}

const NO_GAIN = STOP_REASONS.indexOf("no_gain");
const LARGEST = 3.4028234663852886e38;

/** The graph's selections, scaled back, merged and put in ascending order, with the final residual from x and z. */
export function finishCodes(
  run: PursuitRun,
  prepared: PreparedRows,
  batch: EncodeBatch,
  weights: DictionaryWeights,
): SparseCodes {
  const { count } = batch;
  const stride = prepared.count;
  const steps = new Uint32Array(count);
  const stops = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const finite = finiteSteps(run, i, stride, run.steps[i]!, prepared.unscale[i]!);
    steps[i] = finite;
    // A row that diverges past float32 ends at its last finite step: from there nothing gains.
    stops[i] = finite < run.steps[i]! ? NO_GAIN : run.stops[i]!;
  }
  const trace = traceOf(run, prepared, steps);
  const merged = mergeRows(trace, count);
  const { residualNorms, relativeErrors, reconstruction } = residuals(merged, prepared, batch, weights);
  return {
    count,
    width: weights.m,
    ...merged,
    steps,
    stops,
    residualNorms,
    relativeErrors,
    ...(prepared.norm && { norm: prepared.norm }),
    ...(batch.trace && { trace }),
    ...(reconstruction && { reconstruction }),
  };
}

/** Steps of row i until its first value or norm that float32 cannot hold. */
function finiteSteps(
  { values, energies }: PursuitRun,
  i: number,
  stride: number,
  steps: number,
  unscale: number,
): number {
  for (let t = 0; t < steps; t++) {
    const at = t * stride + i;
    const value = Math.abs(values[at]! * unscale);
    // Negated, so that NaN ends it too.
    if (!(value <= LARGEST && Math.sqrt(energies[at]!) * unscale <= LARGEST)) return t;
  }
  return steps;
}

/** Every selection, row by row. */
function traceOf(
  { indices, values, energies }: PursuitRun,
  { count: stride, unscale }: PreparedRows,
  steps: Uint32Array,
): PursuitTrace {
  const count = steps.length;
  const indptr = new Uint32Array(count + 1);
  for (let i = 0; i < count; i++) indptr[i + 1] = indptr[i]! + steps[i]!;
  const total = indptr[count]!;
  const trace = {
    indptr,
    indices: new Uint32Array(total),
    values: new Float32Array(total),
    residualNorms: new Float32Array(total),
  };
  // Low words of the int64 column: an atom's number fits in 32 bits, and a view costs nothing where BigInts would.
  const lowWords = new Int32Array(indices.buffer, indices.byteOffset, indices.length * 2);
  for (let i = 0; i < count; i++) {
    for (let t = 0, to = indptr[i]!; t < steps[i]!; t++, to++) {
      const at = t * stride + i;
      trace.indices[to] = lowWords[at * 2]!;
      trace.values[to] = values[at]! * unscale[i]!;
      trace.residualNorms[to] = Math.sqrt(energies[at]!) * unscale[i]!;
    }
  }
  return trace;
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
  { scaled, unscale, energy, norm }: PreparedRows,
  { count, reconstruction: wanted }: EncodeBatch,
  { atoms, center, d }: DictionaryWeights,
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
    residualNorms[i] = Math.min(left * unscale[i]!, LARGEST);
    relativeErrors[i] = energy[i] === 0 ? 0 : left / Math.sqrt(energy[i]!);
    if (reconstruction === null) continue;
    const scale = norm?.scale[i] ?? 1;
    const shift = norm?.shift[i] ?? 0;
    for (let c = 0; c < d; c++) reconstruction[i * d + c] = (fit[c]! + (center?.[c] ?? 0)) * scale + shift;
  }
  return { residualNorms, relativeErrors, reconstruction };
}
