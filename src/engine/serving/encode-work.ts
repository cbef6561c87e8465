import type { BudgetColumns } from "../core/budget.ts";
import type { PursuitChoice } from "../core/dictionary.ts";
import type { Rows } from "../core/rows.ts";
import type { Span } from "../core/telemetry.ts";
import type { Work } from "../scheduler/work.ts";

/** One request's rows, checked, with their budgets filled in: what queues for a dictionary. */
export interface EncodeWork extends Work {
  readonly rows: Rows;
  /** [count, d_out] of a transcoder's request */
  readonly targets?: Rows;
  readonly budgets: BudgetColumns;
  /** [count] classes of the budgets, by which their costs are predicted and learned. */
  readonly classes: Uint16Array;
  /** Of the request. */
  readonly span: Span;
  readonly trace: boolean;
  readonly reconstruction: boolean;
  /** By this pursuit; absent: by the dictionary's own encoder. */
  readonly pursuit?: PursuitChoice;
}
