import type { BudgetColumns } from "../core/budget.ts";
import type { PursuitChoice } from "../core/dictionary.ts";
import type { Rows } from "../core/rows.ts";
import type { Span } from "../core/telemetry.ts";
import type { Work } from "../scheduler/work.ts";

/** One request's checked rows with complete budgets, as it is queued for a dictionary. */
export interface EncodeWork extends Work {
  readonly rows: Rows;
  /** [count, d_out], for transcoders */
  readonly targets?: Rows;
  readonly budgets: BudgetColumns;
  /** [count] classes of the budgets, for predicting and learning costs. */
  readonly classes: Uint16Array;
  /** Of the request. */
  readonly span: Span;
  readonly trace: boolean;
  readonly reconstruction: boolean;
  /** This pursuit; absent: the dictionary's own encoder. */
  readonly pursuit?: PursuitChoice;
}
