import type { Budget, RequestBudget } from "../../src/engine/core/budget.ts";
import type { EncodeBatch } from "../../src/engine/core/encode-batch.ts";

/** Puts rows [n · d] into a traced batch, under one budget or one per row. */
export function batchOf(rows: Float32Array, d: number, budget: RequestBudget): EncodeBatch {
  const count = rows.length / d;
  const of = (i: number): Budget => ((Array.isArray(budget) ? budget[i] : budget) ?? {}) as Budget;
  const column = (part: "tolerance" | "residualNorm" | "minGain"): Float64Array =>
    Float64Array.from({ length: count }, (_, i) => of(i)[part] ?? 0);
  return {
    rows,
    count,
    budgets: {
      maxAtoms: Int32Array.from({ length: count }, (_, i) => of(i).maxAtoms ?? 4096),
      tolerance: column("tolerance"),
      residualNorm: column("residualNorm"),
      minGain: column("minGain"),
      group: Int32Array.from({ length: count }, (_, i) => of(i).group ?? 0),
    },
    trace: true,
    reconstruction: false,
  };
}
