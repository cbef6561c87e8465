import { STOP_REASONS, type StopReason } from "../../core/sparse-codes.ts";
import { GOES_ON, type RowJob } from "./row-job.ts";

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

/** Tests the limits before a step, in the order of docs/algorithm.md. @returns the first one reached, or GOES_ON */
export function stopBefore(job: RowJob, row: number): number {
  const energy = job.energy[row]!;
  if (energy <= job.tolerance[row]!) return STOPS.tolerance;
  if (energy <= job.residual[row]!) return STOPS.residual_norm;
  if (job.steps[row]! >= job.maxAtoms[row]!) return STOPS.max_atoms;
  return GOES_ON;
}

/** Whether a row's ||r||² lies within `slack` of one of its limits. */
export function nearLimit({ energy, tolerance, residual, threshold }: RowJob, row: number, slack: number): boolean {
  const now = energy[row]!;
  return near(now, tolerance[row]!, slack) || near(now, residual[row]!, slack) || near(now, threshold[row]!, slack);
}

/** A limit that is off is negative. */
const near = (value: number, limit: number, slack: number): boolean => limit > 0 && Math.abs(value - limit) <= slack;
