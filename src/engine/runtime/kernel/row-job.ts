import type { PursuitChoice } from "../../core/dictionary.ts";
import { STOP_REASONS, type StopReason } from "../../core/sparse-codes.ts";
import { LARGEST_FLOAT32 } from "../../core/float-formats.ts";

/** States of a row; other values of `stops` are positions in STOP_REASONS. */
export const RUNNING = -1;
/** Its correlations must be recomputed from its residual first. */
export const NEEDS_REFRESH = -2;

/**
 * Input and results of the rows in slots 0 … count − 1 of one of the arena's two sets. Shared by all threads.
 */
export interface RowJob {
  readonly count: number;
  /** Address of [count, rowWidth] x − b, scaled. */
  readonly rows: number;
  /** Maximum selections of any row: the width of the columns below. */
  readonly depth: number;
  /** Whether `energies` must be exact when a row has ended. */
  readonly traced: boolean;
  /** Whether the Gram matrix is complete. */
  readonly gram: boolean;
  /** Whether to prefetch Gram rows and a code's atoms (prefetch-trial.ts). */
  readonly prefetch: boolean;
  readonly pursuit: PursuitChoice;
  /** [count] limits as in session/prepare-rows.ts. */
  readonly maxAtoms: Int32Array;
  readonly tolerance: Float32Array;
  readonly residual: Float32Array;
  readonly threshold: Float32Array;
  readonly minEnergy: Float32Array;
  readonly unscale: Float64Array;

  /** [count] ||x − b||² */
  readonly startEnergy: Float64Array;
  /** [count] ||r||² now, and at the last refresh of the correlations. */
  readonly energy: Float64Array;
  readonly freshEnergy: Float64Array;
  /** [count] selections so far, and at the last refresh. */
  readonly steps: Int32Array;
  readonly freshSteps: Int32Array;
  /** [count] RUNNING, NEEDS_REFRESH or the stop reason. */
  readonly stops: Int32Array;
  /** [count, depth] the selections in order, scaled, and ||r||² after each. */
  readonly indices: Uint32Array;
  readonly values: Float32Array;
  readonly energies: Float32Array;

  /** [count] entries of the finished code, [count, depth] the code: merged, ascending, scaled. */
  readonly entries: Int32Array;
  readonly codeIndices: Uint32Array;
  readonly codeValues: Float32Array;
  /** [count] ||x − b − Dᵀz||² of the finished code, scaled. */
  readonly finalEnergy: Float64Array;
  /** [count, d] x − b − Dᵀz, scaled; empty unless asked for. */
  readonly finalResiduals: Float64Array;
}

/** Limits of a job's rows. */
export type RowLimits = Pick<
  RowJob,
  "maxAtoms" | "tolerance" | "residual" | "threshold" | "minEnergy" | "unscale" | "energy"
>;

/** A job over rows [from, from + count) of a batch, in one piece of memory. */
export function createRowJob(
  limits: RowLimits,
  from: number,
  count: number,
  {
    residualWidth,
    ...asked
  }: Pick<RowJob, "rows" | "pursuit" | "prefetch" | "traced" | "gram"> & { readonly residualWidth: number },
): RowJob {
  const to = from + count;
  let depth = 1;
  for (let i = from; i < to; i++) depth = Math.max(depth, limits.maxAtoms[i]!);
  const size = count * depth;
  const memory = new SharedArrayBuffer(8 * (count * (5 + residualWidth)) + 4 * (count * 9 + size * 5));
  let at = 0;
  const take = (unit: number, length: number): [SharedArrayBuffer, number, number] => {
    const place: [SharedArrayBuffer, number, number] = [memory, at, length];
    at += unit * length;
    return place;
  };
  // Eight-byte columns first, so that all are aligned.
  const job = {
    count,
    depth,
    ...asked,
    startEnergy: new Float64Array(...take(8, count)),
    unscale: new Float64Array(...take(8, count)),
    energy: new Float64Array(...take(8, count)),
    freshEnergy: new Float64Array(...take(8, count)),
    finalEnergy: new Float64Array(...take(8, count)),
    finalResiduals: new Float64Array(...take(8, count * residualWidth)),
    maxAtoms: new Int32Array(...take(4, count)),
    tolerance: new Float32Array(...take(4, count)),
    residual: new Float32Array(...take(4, count)),
    threshold: new Float32Array(...take(4, count)),
    minEnergy: new Float32Array(...take(4, count)),
    steps: new Int32Array(...take(4, count)),
    freshSteps: new Int32Array(...take(4, count)),
    stops: new Int32Array(...take(4, count)).fill(RUNNING),
    entries: new Int32Array(...take(4, count)),
    indices: new Uint32Array(...take(4, size)),
    values: new Float32Array(...take(4, size)),
    energies: new Float32Array(...take(4, size)),
    codeIndices: new Uint32Array(...take(4, size)),
    codeValues: new Float32Array(...take(4, size)),
  };
  for (const name of ["maxAtoms", "tolerance", "residual", "threshold", "minEnergy", "unscale", "energy"] as const) {
    job[name].set(limits[name].subarray(from, to));
  }
  job.startEnergy.set(job.energy);
  job.freshEnergy.set(job.energy);
  return job;
}

const code = (reason: StopReason): number => STOP_REASONS.indexOf(reason);

/** Stop reasons as the numbers in a job's `stops`. */
export const STOPS = {
  max_atoms: code("max_atoms"),
  tolerance: code("tolerance"),
  residual_norm: code("residual_norm"),
  min_gain: code("min_gain"),
  no_gain: code("no_gain"),
  repeat: code("repeat"),
  dependent: code("dependent"),
} as const;

/** Tests the limits before a step, in the order of docs/algorithm.md. @returns the first one reached, or RUNNING */
export function stopBefore(job: RowJob, row: number): number {
  const energy = job.energy[row]!;
  if (energy <= job.tolerance[row]!) return STOPS.tolerance;
  if (energy <= job.residual[row]!) return STOPS.residual_norm;
  if (job.steps[row]! >= job.maxAtoms[row]!) return STOPS.max_atoms;
  return RUNNING;
}

/** Whether a row's ||r||² lies within `slack` of one of its limits. */
export function nearLimit({ energy, tolerance, residual, threshold }: RowJob, row: number, slack: number): boolean {
  const now = energy[row]!;
  return near(now, tolerance[row]!, slack) || near(now, residual[row]!, slack) || near(now, threshold[row]!, slack);
}

/** A limit that is off is negative. */
const near = (value: number, limit: number, slack: number): boolean => limit > 0 && Math.abs(value - limit) <= slack;

/** Steps of pursuits in scaled units. */
interface ScaledSteps {
  readonly values: Float32Array;
  /** ||r||² after each step. */
  readonly energies: Float32Array;
}

/**
 * Counts the steps of one row before the first value or norm beyond float32.
 * @param first index of its first step; the next ones follow every `stride`
 * @param unscale factor back to the posted row's scale
 */
export function finiteSteps(
  { values, energies }: ScaledSteps,
  first: number,
  stride: number,
  count: number,
  unscale: number,
): number {
  for (let t = 0, at = first; t < count; t++, at += stride) {
    const value = Math.abs(values[at]! * unscale);
    // Negated, so that NaN ends it too.
    if (!(value <= LARGEST_FLOAT32 && Math.sqrt(energies[at]!) * unscale <= LARGEST_FLOAT32)) return t;
  }
  return count;
}
