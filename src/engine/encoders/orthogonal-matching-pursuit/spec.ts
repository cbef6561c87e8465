import { ORTHOGONAL_SCORES, type OrthogonalSettings } from "../../core/dictionary.ts";
import { closed, commonSchema, type EncoderSpec, oneOf } from "../spec.ts";
import { pursuitBudget, pursuitSchema } from "../pursuit.ts";

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
