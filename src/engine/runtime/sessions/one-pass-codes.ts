import type { ActiveAtoms } from "../../core/candidate-atoms.ts";
import type { Atoms } from "../../core/dictionary-weights.ts";
import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { SparseCodes } from "../../core/sparse-codes.ts";
import type { LoopThreads } from "../kernel/loop-threads.ts";
import type { OnePassJob } from "../kernel/one-pass-loop.ts";
import type { OnePassRows } from "./one-pass-rows.ts";

/** Active atoms of a batch: row i's are `indptr[i] … indptr[i + 1]`, by ascending index. */
interface ActiveRows {
  readonly indptr: Uint32Array;
  readonly active: ActiveAtoms;
}

/** Numbers of atoms to subtract from which waking the helpers pays: a megabyte. */
const WORTH_HELP = 1 << 18;

/**
 * Codes of a one-pass encoder within their budgets (docs/algorithm.md, One-pass encoders). A row without a limit keeps
 * all its active atoms. Another grows atom by atom in order of falling contribution |a_j| · ||D_j||, the lower index first
 * on a tie, until a limit is met; the trace is that order. Residuals are known where rows have a target.
 * @param threads over the atoms of `weights`
 * @param constant [count, d] what decode adds to a transcoder's codes; null: the centre, to every row
 */
export function onePassCodes(
  found: ActiveRows,
  rows: OnePassRows,
  batch: EncodeBatch,
  { d, m, center }: Atoms,
  threads: LoopThreads<OnePassJob>,
  constant: Float32Array | null = null,
): SparseCodes {
  const { count } = batch;
  const { target } = rows;
  const help = threads.count > 1 && found.active.length * d >= WORTH_HELP;
  const job = createJob(found, target, batch, d, help ? SharedArrayBuffer : ArrayBuffer);
  threads.run(job, help);
  return {
    count,
    width: m,
    ...codesOf(job),
    ...(rows.norm && { norm: rows.norm }),
    ...(batch.reconstruction && { reconstruction: reconstructed(job, rows, center, constant) }),
  };
}

/** [count, d] x̂ in the space of the posted rows: the target without its residual, and what decode adds. */
function reconstructed(
  { count, residuals }: OnePassJob,
  { target, norm }: OnePassRows,
  center: Float32Array | null,
  constant: Float32Array | null,
): Float32Array {
  const d = residuals.length / count;
  const rows = new Float32Array(residuals.length);
  for (let i = 0, at = 0; i < count; i++) {
    const scale = norm?.scale[i] ?? 1;
    const shift = norm?.shift[i] ?? 0;
    for (let c = 0; c < d; c++, at++) {
      const added = constant === null ? (center?.[c] ?? 0) : constant[at]!;
      rows[at] = ((target?.[at] ?? 0) - residuals[at]! + added) * scale + shift;
    }
  }
  return rows;
}

/** @param Memory of all columns: one that threads can share, or not */
function createJob(
  { indptr, active }: ActiveRows,
  target: Float32Array | null,
  { count, budgets, trace, reconstruction }: EncodeBatch,
  d: number,
  Memory: typeof SharedArrayBuffer | typeof ArrayBuffer,
): OnePassJob {
  const entries = active.length;
  const measured = target === null ? 0 : count;
  const floats = (length: number): Float32Array => new Float32Array(new Memory(4 * length));
  const integers = (length: number): Uint32Array => new Uint32Array(new Memory(4 * length));
  const shared = <Column extends Float32Array | Uint32Array>(column: Column, length: number): Column => {
    const copy = new (column.constructor as new (memory: ArrayBufferLike) => Column)(new Memory(4 * length));
    copy.set(column.subarray(0, length));
    return copy;
  };
  const { maxAtoms, tolerance, residualNorm, minGain } = budgets;
  return {
    count,
    target: target === null || Memory === ArrayBuffer ? target : shared(target, count * d),
    maxAtoms,
    tolerance,
    residualNorm,
    minGain,
    indptr,
    indices: shared(active.indices, entries),
    values: shared(active.values, entries),
    kept: integers(count),
    stops: new Uint8Array(new Memory(count)),
    residualNorms: floats(measured),
    relativeErrors: floats(measured),
    trace: trace ? { indices: integers(entries), values: floats(entries), norms: floats(entries) } : null,
    residuals: new Float64Array(new Memory(reconstruction ? 8 * count * d : 0)),
  };
}

/** The columns of finished codes, without the entries that were not kept. */
function codesOf(job: OnePassJob): Omit<SparseCodes, "count" | "width"> {
  const { count, kept, trace, target } = job;
  const indptr = new Uint32Array(count + 1);
  for (let i = 0; i < count; i++) indptr[i + 1] = indptr[i]! + kept[i]!;
  const joined = <Column extends Float32Array | Uint32Array>(column: Column): Column => {
    const all = new (column.constructor as new (length: number) => Column)(indptr[count]!);
    if (all.length === column.length) all.set(column);
    else {
      for (let i = 0; i < count; i++) {
        const from = job.indptr[i]!;
        all.set(column.subarray(from, from + kept[i]!), indptr[i]);
      }
    }
    return all;
  };
  const measured = target !== null;
  return {
    indptr,
    indices: joined(job.indices),
    values: joined(job.values),
    steps: kept.slice(),
    stops: job.stops.slice(),
    ...(measured && { residualNorms: job.residualNorms.slice(), relativeErrors: job.relativeErrors.slice() }),
    ...(trace && {
      trace: {
        indptr: indptr.slice(),
        indices: joined(trace.indices),
        values: joined(trace.values),
        ...(measured && { residualNorms: joined(trace.norms) }),
      },
    }),
  };
}
