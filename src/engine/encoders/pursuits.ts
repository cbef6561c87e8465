import type { TProperties } from "typebox";
import {
  ORTHOGONAL_SCORES,
  type OrthogonalSettings,
  type PursuitSettings,
  RESELECTS,
  SCORES,
} from "../core/dictionary.ts";
import { type BudgetRule, closed, commonSchema, type EncoderSpec, oneOf, type TypeBox, type Widths } from "./spec.ts";

/** The dictionary's cap, within the server's. */
function pursuitBudget(
  { maxAtoms }: Pick<PursuitSettings, "maxAtoms">,
  _widths: Widths,
  serverCap: number,
): BudgetRule {
  const cap = Math.min(maxAtoms ?? Infinity, serverCap);
  return { cap, unset: cap };
}

/** What both pursuits have in common. */
const pursuit = {
  family: "pursuit",
  roles: ["autoencoder"],
  tensors: () => ({}),
  budget: pursuitBudget,
} as const;

/** Settings of a pursuit. @param own those that the other has not */
const pursuitSchema = <Own extends TProperties>(type: TypeBox, own: Own) =>
  type.Object(
    {
      ...commonSchema(type),
      residual_threshold: type.Number({ minimum: 0 }),
      max_atoms: type.Union([type.Integer({ minimum: 1 }), type.Null()]),
      ...own,
    },
    closed,
  );

/** Selects the atom of the largest score, subtracts it, and repeats until the budget is met (docs/algorithm.md). */
export const matchingPursuitSpec: EncoderSpec<PursuitSettings> = {
  ...pursuit,
  kind: "matching_pursuit",
  schema: (type) => pursuitSchema(type, { score: oneOf(type, SCORES), reselect: oneOf(type, RESELECTS) }),
  warnings: (_weights, largestSquaredNorm) =>
    largestSquaredNorm < 2
      ? []
      : [
          `The largest squared atom norm is ${largestSquaredNorm.toPrecision(4)}; from 2 on, a step can lengthen the residual and the pursuit can diverge.`,
        ],
};

/** Matching pursuit that solves for all coefficients again after every selection (docs/algorithm.md). */
export const orthogonalMatchingPursuitSpec: EncoderSpec<OrthogonalSettings> = {
  ...pursuit,
  kind: "orthogonal_matching_pursuit",
  schema: (type) => pursuitSchema(type, { score: oneOf(type, ORTHOGONAL_SCORES), raw_scores: type.Boolean() }),
};
