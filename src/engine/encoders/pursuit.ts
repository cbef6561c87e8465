import Type from "typebox";
import type { PursuitSettings } from "../core/dictionary.ts";
import type { BudgetRule, Widths } from "./spec.ts";

/** Settings that both pursuits have beside the common ones. */
export const pursuitSchema = {
  residual_threshold: Type.Number({ minimum: 0 }),
  max_atoms: Type.Union([Type.Integer({ minimum: 1 }), Type.Null()]),
} as const;

/** The dictionary's cap, within the server's. */
export function pursuitBudget(
  { maxAtoms }: Pick<PursuitSettings, "maxAtoms">,
  _widths: Widths,
  serverCap: number,
): BudgetRule {
  const cap = Math.min(maxAtoms ?? Infinity, serverCap);
  return { cap, unset: cap };
}
