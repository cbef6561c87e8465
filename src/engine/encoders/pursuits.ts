import {
  ORTHOGONAL_SCORES,
  type OrthogonalSettings,
  type PursuitSettings,
  RESELECTS,
  SCORES,
} from "../core/dictionary.ts";
import { type BudgetRule, closed, commonSchema, type EncoderSpec, oneOf, type TypeBox, type Widths } from "./spec.ts";

/** Settings that both pursuits have beside the common ones. */
const pursuitSchema = (type: TypeBox) => ({
  residual_threshold: type.Number({ minimum: 0 }),
  max_atoms: type.Union([type.Integer({ minimum: 1 }), type.Null()]),
});

/** The dictionary's cap, within the server's. */
function pursuitBudget(
  { maxAtoms }: Pick<PursuitSettings, "maxAtoms">,
  _widths: Widths,
  serverCap: number,
): BudgetRule {
  const cap = Math.min(maxAtoms ?? Infinity, serverCap);
  return { cap, unset: cap };
}

/** Selects the atom of the largest score, subtracts it, and repeats until the budget is met (docs/algorithm.md). */
export const matchingPursuitSpec: EncoderSpec<PursuitSettings> = {
  kind: "matching_pursuit",
  family: "pursuit",
  roles: ["autoencoder"],
  schema: (type) =>
    type.Object(
      {
        ...commonSchema(type),
        ...pursuitSchema(type),
        score: oneOf(type, SCORES),
        reselect: oneOf(type, RESELECTS),
      },
      closed,
    ),
  tensors: () => ({}),
  budget: pursuitBudget,
  warnings: (_weights, largestSquaredNorm) =>
    largestSquaredNorm < 2
      ? []
      : [
          `The largest squared atom norm is ${largestSquaredNorm.toPrecision(4)}; from 2 on, a step can lengthen the residual and the pursuit can diverge.`,
        ],
};

/** Matching pursuit that solves for all coefficients again after every selection (docs/algorithm.md). */
export const orthogonalMatchingPursuitSpec: EncoderSpec<OrthogonalSettings> = {
  kind: "orthogonal_matching_pursuit",
  family: "pursuit",
  roles: ["autoencoder"],
  schema: (type) =>
    type.Object(
      {
        ...commonSchema(type),
        ...pursuitSchema(type),
        score: oneOf(type, ORTHOGONAL_SCORES),
        raw_scores: type.Boolean(),
      },
      closed,
    ),
  tensors: () => ({}),
  budget: pursuitBudget,
};
