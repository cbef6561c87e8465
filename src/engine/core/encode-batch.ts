import type { BudgetColumns } from "./budget.ts";

/** Rows of one batch with everything that their pursuit needs: what a runtime encodes in one run. */
export interface EncodeBatch {
  /** [count, d], finite; never written to. */
  readonly rows: Float32Array;
  readonly count: number;
  readonly budgets: BudgetColumns;
  readonly trace: boolean;
  readonly reconstruction: boolean;
  /** By orthogonal pursuit, on a dictionary whose own encoder is a plain one. */
  readonly orthogonal?: boolean;
  /** [count, d_out] what a transcoder's rows should become: residuals are measured against them. */
  readonly targets?: Float32Array;
}
