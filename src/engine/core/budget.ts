/** Limits that end a row's pursuit (docs/algorithm.md, Budgets). An absent part sets no limit. */
export interface Budget {
  /** Selections at most, integer ≥ 0. */
  readonly maxAtoms?: number;
  /** Relative: stop once ||r|| ≤ tolerance · ||x - b||. 0 is off. */
  readonly tolerance?: number;
  /** Absolute, in pursuit space: stop once ||r|| ≤ residualNorm. 0 is off. */
  readonly residualNorm?: number;
  /** Relative energy: stop before a step that would lower ||r||² by less than minGain · ||x - b||². 0 is off. */
  readonly minGain?: number;
  /** Use the first so many atoms only: one of the dictionary's groups. */
  readonly group?: number;
}

/**
 * Budgets of a request: one for all rows, or one per row. null is no budget at all: the dictionary's default holds.
 * Any budget replaces the default whole, `{}` too.
 */
export type RequestBudget = Budget | null | readonly (Budget | null)[];

/** Budgets of a batch, one column entry per row, with every default filled in: what the executor takes. */
export interface BudgetColumns {
  readonly maxAtoms: Int32Array;
  readonly tolerance: Float64Array;
  readonly residualNorm: Float64Array;
  readonly minGain: Float64Array;
  /** Atoms that a row may use, the first so many; 0: all. */
  readonly group: Int32Array;
}
