/** Limits that end a row's pursuit (docs/algorithm.md, Budgets). An absent part sets no limit. */
export interface Budget {
  /** Maximum selections, integer ≥ 0. */
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
 * Budgets of a request: one for all rows, or one per row. null is no budget: the dictionary's default applies. Any
 * budget replaces the default as a whole, `{}` too.
 */
export type RequestBudget = Budget | null | readonly (Budget | null)[];

/** Budgets of a batch with every default filled in, one entry per row, as the executor takes them. */
export interface BudgetColumns {
  readonly maxAtoms: Int32Array;
  readonly tolerance: Float64Array;
  readonly residualNorm: Float64Array;
  readonly minGain: Float64Array;
  /** Use only the first so many atoms; 0: all. */
  readonly group: Int32Array;
}
