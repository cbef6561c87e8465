import type { PursuitSettings } from "../core/dictionary.ts";
import type { BudgetRule, TypeBox, Widths } from "./spec.ts";

/** Settings that both pursuits have beside the common ones. */
export const pursuitSchema = (type: TypeBox) => ({
  residual_threshold: type.Number({ minimum: 0 }),
  max_atoms: type.Union([type.Integer({ minimum: 1 }), type.Null()]),
});

/** The dictionary's cap, within the server's. */
export function pursuitBudget(
  { maxAtoms }: Pick<PursuitSettings, "maxAtoms">,
  _widths: Widths,
  serverCap: number,
): BudgetRule {
  const cap = Math.min(maxAtoms ?? Infinity, serverCap);
  return { cap, unset: cap };
}
