import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { Atoms } from "../../core/dictionary-weights.ts";
import { type PursuitTrace, type SparseCodes, STOP_REASONS } from "../../core/sparse-codes.ts";
import { finiteSteps } from "../kernel/row-job.ts";
import { codesOfTrace } from "./codes-of-trace.ts";
import { emptyTrace } from "./empty-trace.ts";
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

/** The graph's selections, scaled back, merged and put in ascending order, with the final residual from x and z. */
export function finishCodes(run: PursuitRun, prepared: PreparedRows, batch: EncodeBatch, weights: Atoms): SparseCodes {
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
  return codesOfTrace({ trace, stops }, prepared, batch, weights);
}

/** Every selection, row by row. */
function traceOf(
  { indices, values, energies }: PursuitRun,
  { count: stride, unscale }: PreparedRows,
  steps: Uint32Array,
): PursuitTrace {
  const trace = emptyTrace(steps);
  // Low words of the int64 column: an atom's number fits in 32 bits, and a view costs nothing where BigInts would.
  const lowWords = new Int32Array(indices.buffer, indices.byteOffset, indices.length * 2);
  for (let i = 0; i < steps.length; i++) {
    for (let t = 0, to = trace.indptr[i]!; t < steps[i]!; t++, to++) {
      const at = t * stride + i;
      trace.indices[to] = lowWords[at * 2]!;
      trace.values[to] = values[at]! * unscale[i]!;
      trace.residualNorms[to] = Math.sqrt(energies[at]!) * unscale[i]!;
    }
  }
  return trace;
}
