import { type PursuitSettings, RESELECTS, SCORES } from "../../core/dictionary.ts";
import { closed, commonSchema, type EncoderSpec, oneOf } from "../spec.ts";
import { pursuitBudget, pursuitSchema } from "../pursuit.ts";

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
