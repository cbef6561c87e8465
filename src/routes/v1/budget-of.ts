import type { Budget, RequestBudget } from "../../engine/core/budget.ts";
import type { BudgetWire } from "./schemas.ts";

/** Converts a budget from the API's names to the engine's. */
export function budgetOf({
  max_atoms: maxAtoms,
  tolerance,
  residual_norm: residualNorm,
  min_gain: minGain,
  group,
}: BudgetWire): Budget {
  return {
    ...(maxAtoms !== undefined && { maxAtoms }),
    ...(tolerance !== undefined && { tolerance }),
    ...(residualNorm !== undefined && { residualNorm }),
    ...(minGain !== undefined && { minGain }),
    ...(group !== undefined && { group }),
  };
}

/** Budgets of a request; null if it has none. */
export function requestBudget(budget: BudgetWire | BudgetWire[] | undefined): RequestBudget {
  if (budget === undefined) return null;
  return Array.isArray(budget) ? budget.map(budgetOf) : budgetOf(budget);
}
