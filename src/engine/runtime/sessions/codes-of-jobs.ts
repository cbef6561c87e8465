import type { Atoms } from "../../core/dictionary-weights.ts";
import type { EncodeBatch } from "../../core/encode-batch.ts";
import { LARGEST_FLOAT32 } from "../../core/float-formats.ts";
import type { PursuitTrace, SparseCodes } from "../../core/sparse-codes.ts";
import type { RowJob } from "../kernel/row-job.ts";
import { emptyTrace } from "./empty-trace.ts";
import type { PreparedRows } from "./prepare-rows.ts";

/** The finished jobs of a batch, in the order of its rows, as codes: scaled back. */
export function codesOfJobs(
  jobs: readonly RowJob[],
  prepared: PreparedRows,
  batch: EncodeBatch,
  weights: Pick<Atoms, "m" | "d" | "center">,
): SparseCodes {
  const { count } = batch;
  const steps = new Uint32Array(count);
  const stops = new Uint8Array(count);
  const residualNorms = new Float32Array(count);
  const relativeErrors = new Float32Array(count);
  const indptr = new Uint32Array(count + 1);
  eachRow(jobs, count, (job, i, row) => {
    steps[row] = job.steps[i]!;
    stops[row] = job.stops[i]!;
    indptr[row + 1] = indptr[row]! + job.entries[i]!;
    const left = Math.sqrt(job.finalEnergy[i]!);
    const energy = prepared.energy[row]!;
    // A row of finite numbers may be longer than float32 reaches.
    residualNorms[row] = Math.min(left * job.unscale[i]!, LARGEST_FLOAT32);
    relativeErrors[row] = energy === 0 ? 0 : left / Math.sqrt(energy);
  });
  const indices = new Uint32Array(indptr[count]!);
  const values = new Float32Array(indptr[count]!);
  eachRow(jobs, count, ({ codeIndices, codeValues, depth, unscale }, i, row) => {
    const scale = unscale[i]!;
    for (let to = indptr[row]!, at = i * depth; to < indptr[row + 1]!; to++, at++) {
      indices[to] = codeIndices[at]!;
      values[to] = codeValues[at]! * scale;
    }
  });
  return {
    count,
    width: weights.m,
    indptr,
    indices,
    values,
    steps,
    stops,
    residualNorms,
    relativeErrors,
    ...(prepared.norm && { norm: prepared.norm }),
    ...(batch.trace && { trace: traceOf(jobs, steps) }),
    ...(batch.reconstruction && { reconstruction: reconstructionOf(jobs, prepared, count, weights) }),
  };
}

function eachRow(jobs: readonly RowJob[], count: number, visit: (job: RowJob, i: number, row: number) => void): void {
  let row = 0;
  for (const job of jobs) for (let i = 0; i < job.count && row < count; i++) visit(job, i, row++);
}

function traceOf(jobs: readonly RowJob[], steps: Uint32Array): PursuitTrace {
  const trace = emptyTrace(steps);
  const { indptr } = trace;
  eachRow(jobs, steps.length, ({ indices, values, energies, depth, unscale }, i, row) => {
    const scale = unscale[i]!;
    for (let to = indptr[row]!, at = i * depth; to < indptr[row + 1]!; to++, at++) {
      trace.indices[to] = indices[at]!;
      trace.values[to] = values[at]! * scale;
      trace.residualNorms[to] = Math.sqrt(energies[at]!) * scale;
    }
  });
  return trace;
}

/** x̂ = (x − b − r + b) · scale + shift, r the final residual: [count, d]. */
function reconstructionOf(
  jobs: readonly RowJob[],
  { scaled, norm }: PreparedRows,
  count: number,
  { d, center }: Pick<Atoms, "d" | "center">,
): Float32Array {
  const rows = new Float32Array(count * d);
  eachRow(jobs, count, ({ finalResiduals, unscale }, i, row) => {
    const scale = norm?.scale[row] ?? 1;
    const shift = norm?.shift[row] ?? 0;
    for (let c = 0; c < d; c++) {
      const fit = (scaled[row * d + c]! - finalResiduals[i * d + c]!) * unscale[i]!;
      rows[row * d + c] = (fit + (center?.[c] ?? 0)) * scale + shift;
    }
  });
  return rows;
}
