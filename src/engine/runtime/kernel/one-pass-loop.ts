import { LARGEST_FLOAT32 } from "../../core/float-formats.ts";
import { STOP_REASONS } from "../../core/sparse-codes.ts";
import type { AtomResidual } from "./atom-residual.ts";

const [MAX_ATOMS, TOLERANCE, RESIDUAL_NORM, MIN_GAIN, ACTIVE_END] = (
  ["max_atoms", "tolerance", "residual_norm", "min_gain", "active_end"] as const
).map((reason) => STOP_REASONS.indexOf(reason)) as [number, number, number, number, number];

/** Active atoms of a batch and their limits, and the codes made of them. Shared by all threads. */
export interface OnePassJob {
  readonly count: number;
  /** [count, d] what the codes are to make; null if unknown. */
  readonly target: Float32Array | null;
  /** [count] limits as in a batch's budgets. */
  readonly maxAtoms: Int32Array;
  readonly tolerance: Float64Array;
  readonly residualNorm: Float64Array;
  readonly minGain: Float64Array;
  /** [count + 1] row i has the entries indptr[i] … indptr[i + 1]. */
  readonly indptr: Uint32Array;
  /** [entries] active atoms and their values, ascending; the loop leaves a row's code at the start of its entries. */
  readonly indices: Uint32Array;
  readonly values: Float32Array;

  /** [count] entries of the finished code, and why it ended. */
  readonly kept: Uint32Array;
  readonly stops: Uint8Array;
  /** [count] as in SparseCodes; empty without a target. */
  readonly residualNorms: Float32Array;
  readonly relativeErrors: Float32Array;
  /** [entries] the code's atoms in order of contribution, and the norms after each; null unless asked for. */
  readonly trace: { readonly indices: Uint32Array; readonly values: Float32Array; readonly norms: Float32Array } | null;
  /** [count, d] target − Dᵀa; empty unless asked for. */
  readonly residuals: Float64Array;
}

/** Makes the codes of a job's rows in one thread. */
export class OnePassLoop {
  readonly #residual: AtomResidual;
  readonly #norms: Float64Array;

  /**
   * @param residual over the atoms; its row is overwritten
   * @param norms [m] ||D_j||
   */
  constructor(residual: AtomResidual, norms: Float64Array) {
    this.#residual = residual;
    this.#norms = norms;
  }

  /** @param next takes the next free row; −1 if none is left */
  run(job: OnePassJob, next: () => number): void {
    for (let i = next(); i >= 0; i = next()) this.#makeCode(job, i);
  }

  #makeCode(job: OnePassJob, i: number): void {
    const residual = this.#residual;
    const { target, trace, indptr } = job;
    const width = residual.row.length;
    if (target === null) residual.row.fill(0);
    else residual.place(target, i * width);
    const from = indptr[i]!;
    const own = {
      indices: job.indices.subarray(from, indptr[i + 1]),
      values: job.values.subarray(from, indptr[i + 1]),
    };
    const start = target === null ? 0 : Math.sqrt(residual.energy());
    const limits = limitsOf(job, i, start);
    if (trace !== null || limits.any || limits.maxAtoms <= own.indices.length) this.#grow(job, i, own, limits);
    else {
      if (target !== null || job.residuals.length > 0) residual.subtractAll(own.indices, own.values);
      job.kept[i] = own.indices.length;
      job.stops[i] = ACTIVE_END;
    }
    if (job.residuals.length > 0) job.residuals.set(residual.row, i * width);
    if (target === null) return;
    const left = Math.sqrt(residual.energy());
    // A row of finite numbers may be longer than float32 reaches.
    job.residualNorms[i] = Math.min(left, LARGEST_FLOAT32);
    job.relativeErrors[i] = start === 0 ? 0 : left / start;
  }

  /** Keeps active atoms by contribution until a limit is met, and subtracts those from the residual. */
  #grow(job: OnePassJob, i: number, { indices, values }: OwnCode, limits: Limits): void {
    const residual = this.#residual;
    const norms = this.#norms;
    const contribution = (k: number): number => Math.abs(values[k]!) * norms[indices[k]!]!;
    const order = Array.from(indices.keys()).sort((a, b) => contribution(b) - contribution(a) || a - b);
    let kept = 0;
    let energy = residual.energy();
    let stop: number | null;
    for (;;) {
      stop = stopAt(energy, kept, limits);
      if (stop !== null) break;
      const k = order[kept];
      if (k === undefined) {
        stop = ACTIVE_END;
        break;
      }
      residual.subtract(indices[k]!, values[k]!);
      const next = residual.energy();
      if (energy - next < limits.minGain) {
        residual.subtract(indices[k]!, -values[k]!);
        stop = MIN_GAIN;
        break;
      }
      energy = next;
      if (job.trace !== null) {
        const at = job.indptr[i]! + kept;
        job.trace.indices[at] = indices[k]!;
        job.trace.values[at] = values[k]!;
        job.trace.norms[at] = Math.min(Math.sqrt(energy), LARGEST_FLOAT32);
      }
      kept++;
    }
    const chosen = order.slice(0, kept).sort((a, b) => a - b);
    // In place: an entry moves to its own position or an earlier one.
    for (const [at, k] of chosen.entries()) {
      indices[at] = indices[k]!;
      values[at] = values[k]!;
    }
    job.kept[i] = kept;
    job.stops[i] = stop;
  }
}

interface OwnCode {
  readonly indices: Uint32Array;
  readonly values: Float32Array;
}

/** Limits of one row, absolute. */
interface Limits {
  readonly maxAtoms: number;
  /** Squared residual norms; below 0 where a limit is off. */
  readonly tolerance: number;
  readonly residualNorm: number;
  /** Energy that the next atom must take off; −∞ where that is off. */
  readonly minGain: number;
  readonly any: boolean;
}

function limitsOf(job: OnePassJob, i: number, norm: number): Limits {
  const tolerance = job.tolerance[i]!;
  const residualNorm = job.residualNorm[i]!;
  const minGain = job.minGain[i]!;
  return {
    maxAtoms: job.maxAtoms[i]!,
    tolerance: tolerance > 0 ? (tolerance * norm) ** 2 : -1,
    residualNorm: residualNorm > 0 ? residualNorm ** 2 : -1,
    minGain: minGain > 0 ? minGain * norm ** 2 : -Infinity,
    any: tolerance > 0 || residualNorm > 0 || minGain > 0,
  };
}

/** Why a row ends with `kept` atoms; null where it goes on. */
function stopAt(energy: number, kept: number, { maxAtoms, tolerance, residualNorm }: Limits): number | null {
  if (energy <= tolerance) return TOLERANCE;
  if (energy <= residualNorm) return RESIDUAL_NORM;
  return kept === maxAtoms ? MAX_ATOMS : null;
}
