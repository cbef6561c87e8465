/**
 * Predicts how long a row takes by its budget, from what rows of that budget took. Rows are put into classes by the
 * power of two of their largest number of steps; how many of those steps a row really needs is the data's own business
 * (a tolerance ends most rows early), so the class learns milliseconds per row, not per step.
 */
const CLASSES = 14;

/** Weight of the newest batch: about the last ten count. */
const LEARNING_RATE = 0.2;

/** A batch may move a prediction by this factor at most: a pause of the machine is not a trend. */
const MAX_CORRECTION = 4;

export class CostModel {
  readonly #perRow: Float64Array;

  /** @param warmUp one measured encode of one row: what the dense pass and a few steps cost, unshared. */
  constructor(warmUp: { readonly steps: number; readonly milliseconds: number }) {
    const perStep = Math.max(warmUp.milliseconds, 1e-3) / (warmUp.steps + 1);
    // Unseen classes start at half their steps, and never beyond 256: few rows need more.
    this.#perRow = Float64Array.from({ length: CLASSES }, (_, k) => perStep * (1 + Math.min(2 ** k, 256) / 2));
  }

  /** Predicted milliseconds of one row that may make this many selections. */
  rowCost(maxAtoms: number): number {
    return this.#perRow[classOf(maxAtoms)]!;
  }

  /** A batch of rows with these budgets took so long: every class in it is corrected by the same ratio. */
  learn(maxAtoms: Int32Array, milliseconds: number): void {
    let predicted = 0;
    const seen = new Set<number>();
    for (const atoms of maxAtoms) {
      seen.add(classOf(atoms));
      predicted += this.rowCost(atoms);
    }
    if (predicted <= 0) return;
    const ratio = Math.min(MAX_CORRECTION, Math.max(1 / MAX_CORRECTION, milliseconds / predicted));
    for (const k of seen) this.#perRow[k]! *= ratio ** LEARNING_RATE;
  }
}

/** 0 for budgets 0 and 1, then one class a doubling. */
function classOf(maxAtoms: number): number {
  return Math.min(CLASSES - 1, maxAtoms <= 1 ? 0 : Math.ceil(Math.log2(maxAtoms)));
}
