import type { Budget } from "../../engine/core/budget.ts";
import type { BudgetWire } from "./schemas.ts";

/** A budget of the wire in the engine's names. */
export function budgetOf({
  max_atoms: maxAtoms,
  tolerance,
  residual_norm: residualNorm,
  min_gain: minGain,
}: BudgetWire): Budget {
  return {
    ...(maxAtoms !== undefined && { maxAtoms }),
    ...(tolerance !== undefined && { tolerance }),
    ...(residualNorm !== undefined && { residualNorm }),
    ...(minGain !== undefined && { minGain }),
  };
}
