import type { OrthogonalSettings } from "../../dictionary.ts";
import type { Atoms } from "../../dictionary-weights.ts";
import { LARGEST_FLOAT32 } from "../../float-formats.ts";
import { LeastSquares } from "../../least-squares.ts";
import { STOP_REASONS, type StopReason } from "../../sparse-codes.ts";
import type { PreparedRows } from "./prepare-rows.ts";

/** Share of ||x − b||² under which a residual is the rounding of the row itself, float32's 2⁻²³: nothing is left to gain. */
const ROUNDING = 2 ** -46;

/** Once ||r||² has fallen to this share of ||x − b||² its running sum has too few digits left, and it is taken from r. */
const DEEP = 1e-4;

/** What a row's pursuit is measured by. */
export interface OrthogonalRowOptions {
  readonly weights: Atoms;
  readonly settings: Pick<OrthogonalSettings, "score">;
}

/**
 * One row's orthogonal pursuit (DESIGN §2.2): selections one at a time, all coefficients solved for again after each.
 * Whoever drives it finds the atom of the largest score.
 *
 *     for (row.start(i); row.stop === null;) row.select(atomOfLargestScore)
 */
export class OrthogonalRow {
  readonly solution: LeastSquares;
  /** [steps] the coefficient that each atom had when it was selected, as the row was posted. */
  readonly values: number[] = [];
  /** [steps] ||r|| after each selection, as the row was posted. */
  readonly norms: number[] = [];
  /** [d] r in float64, as of the last time that it was taken from x and z. */
  readonly residual: Float64Array;
  stop: StopReason | null = null;
  readonly #prepared: PreparedRows;
  readonly #d: number;
  #i = 0;

  constructor(prepared: PreparedRows, { weights, settings }: OrthogonalRowOptions) {
    this.solution = new LeastSquares(weights, settings.score === "relu");
    this.residual = new Float64Array(weights.d);
    this.#prepared = prepared;
    this.#d = weights.d;
  }

  /** Begins row i of the batch. */
  start(i: number): void {
    const { scaled, energy } = this.#prepared;
    this.#i = i;
    this.values.length = 0;
    this.norms.length = 0;
    this.solution.start(scaled.subarray(i * this.#d, (i + 1) * this.#d), energy[i]!);
    this.stop = null;
    this.#checkBudget();
  }

  /** The number of {@link stop} in STOP_REASONS, once the row has ended. */
  get stopNumber(): number {
    return STOP_REASONS.indexOf(this.stop!);
  }

  /** Selects an atom, or ends the row. @param j −1: no atom has a score that counts */
  select(j: number): void {
    const { solution } = this;
    const { energy, minEnergy, threshold, unscale } = this.#prepared;
    const before = solution.energy;
    if (j < 0 || before <= ROUNDING * energy[this.#i]!) return this.#end("no_gain");
    const result = solution.add(j);
    if (result !== "added") return this.#end(result);
    if (solution.energy < DEEP * energy[this.#i]!) solution.energy = solution.residual(this.residual);
    // What the step took from ||r||², the solving for all coefficients included.
    if (before - solution.energy < minEnergy[this.#i]!) {
      solution.undo();
      return this.#end("min_gain");
    }
    const scale = unscale[this.#i]!;
    if (!this.#fitsFloat32(scale)) {
      solution.undo();
      return this.#end("no_gain");
    }
    this.values.push(solution.coefficients[solution.size - 1]! * scale);
    this.norms.push(Math.sqrt(solution.energy) * scale);
    if (solution.energy < threshold[this.#i]!) return this.#end("residual_norm");
    this.#checkBudget();
  }

  #checkBudget(): void {
    const { energy } = this.solution;
    const { tolerance, residual, maxAtoms } = this.#prepared;
    if (energy <= tolerance[this.#i]!) this.#end("tolerance");
    else if (energy <= residual[this.#i]!) this.#end("residual_norm");
    else if (this.solution.size >= maxAtoms[this.#i]!) this.#end("max_atoms");
  }

  #end(stop: StopReason): void {
    this.stop = stop;
  }

  #fitsFloat32(scale: number): boolean {
    const { coefficients, size } = this.solution;
    for (let k = 0; k < size; k++) if (!(Math.abs(coefficients[k]! * scale) <= LARGEST_FLOAT32)) return false;
    return true;
  }
}
