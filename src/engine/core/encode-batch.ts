import type { BudgetColumns } from "./budget.ts";
import type { PursuitChoice } from "./dictionary.ts";

/** Rows of one batch with everything that their pursuit needs: what a runtime encodes in one run. */
export interface EncodeBatch {
  /** [count, d], finite; never written to. */
  readonly rows: Float32Array;
  readonly count: number;
  readonly budgets: BudgetColumns;
  readonly trace: boolean;
  readonly reconstruction: boolean;
  /** By this pursuit; absent: by the dictionary's own encoder. */
  readonly pursuit?: PursuitChoice;
  /** [count, d_out] what a transcoder's rows should become: residuals are measured against them. */
  readonly targets?: Float32Array;
}
