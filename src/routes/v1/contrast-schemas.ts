import Type, { type Static } from "typebox";
import { CONTRAST_SORTS } from "../../engine/core/contrast.ts";
import {
  AnsweredEncoderSchema,
  BudgetSchema,
  closed,
  EncoderSchema,
  InputsSchema,
  oneOf,
  PostedCodesSchema,
  VERSION,
} from "./schemas.ts";
import { FieldsQuerySchema, queryText } from "./describe-route.ts";

/** The wire's shapes of a comparison: what Ajv validates by, and what openapi/openapi.json is made of. */

/** Features listed, and divisions, where a request does not say; and at most. */
export const LISTED = 20;
const MOST_LISTED = 1000;
export const PERMUTATIONS = 100;
const MOST_PERMUTATIONS = 10_000;

const SetSchema = Type.Union(
  [Type.Object({ inputs: InputsSchema }, closed), Type.Object({ codes: PostedCodesSchema }, closed)],
  { title: "ContrastSet", description: "Rows, or codes in any format" },
);

const contrastFields = {
  budget: Type.Optional(
    Type.Unsafe<Static<typeof BudgetSchema>>({
      ...BudgetSchema,
      title: "ContrastBudget",
      description: "Of all rows. Without it the dictionary's default_budget holds",
    }),
  ),
  sort: Type.Optional(
    oneOf(CONTRAST_SORTS, {
      description:
        "Features with the largest such figure come first; rate and mean: the largest difference. jensen_shannon if not given",
    }),
  ),
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: MOST_LISTED, description: `Features listed; ${LISTED} if not given` }),
  ),
  permutations: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: MOST_PERMUTATIONS,
      description: `Random divisions of all rows, which show what chance gives; ${PERMUTATIONS} if not given, fewer where the sets are very large`,
    }),
  ),
  seed: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1, description: "Of the divisions; 0 if not given" }),
  ),
  timeout_ms: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: "504 if a row is not encoded by then" })),
};

export const ContrastFieldsSchema = Type.Object({ ...contrastFields, encoder: Type.Optional(Type.Unknown()) }, closed);
export type ContrastFields = Static<typeof ContrastFieldsSchema>;
export const ContrastBodySchema = Type.Object(
  { a: SetSchema, b: SetSchema, encoder: EncoderSchema, ...contrastFields },
  { ...closed, title: "ContrastRequest" },
);

/** The same where the body is bytes. */
export const ContrastQuerySchema = Type.Object({
  rows_a: queryText(
    "Where the body is bytes: the first so many rows are set a, the others set b",
    Type.Integer({ minimum: 1 }),
  ),
  ...Type.Omit(FieldsQuerySchema, ["format", "include", "correlations", "on_overload"]).properties,
  sort: queryText("", contrastFields.sort),
  limit: queryText("", contrastFields.limit),
  permutations: queryText("", contrastFields.permutations),
  seed: queryText("", contrastFields.seed),
});

const pair = (description: string) => Type.Object({ a: Type.Number(), b: Type.Number() }, { description });
const Chance = Type.Object(
  { mean: Type.Number(), low: Type.Number(), high: Type.Number() },
  { title: "ContrastChance", description: "Over the divisions: mean, and quantiles 0.05 and 0.95" },
);
const setFigures = Type.Object(
  { rows: Type.Integer(), mean_atoms: Type.Number(), features: Type.Integer({ description: "Active in some row" }) },
  { title: "ContrastSetFigures" },
);

export const ContrastAnswerSchema = Type.Object(
  {
    dictionary: Type.String(),
    sha256: Type.String({ description: VERSION }),
    encoder: AnsweredEncoderSchema,
    a: setFigures,
    b: setFigures,
    features_in_both: Type.Integer(),
    overlap: Type.Union([Type.Number(), Type.Null()], {
      description: "Σ min(rate_a, rate_b) / Σ max(rate_a, rate_b); null where no feature is active",
    }),
    chance: Type.Optional(
      Type.Object(
        {
          permutations: Type.Integer(),
          seed: Type.Integer(),
          overlap: Chance,
          overlap_p_value: Type.Number({ description: "Share of divisions with as little overlap" }),
          largest_jensen_shannon: Chance,
        },
        { description: "What random divisions of the same rows give; absent without any" },
      ),
    ),
    features: Type.Array(
      Type.Object(
        {
          index: Type.Integer(),
          label: Type.Optional(Type.String()),
          label_source: Type.Optional(Type.String({ description: "As source of FeatureLabel" })),
          set: oneOf(["a", "b"], { description: "Where its mean is larger" }),
          jensen_shannon: Type.Number({ description: "Distance of its distributions in the two sets, base 2: 0 to 1" }),
          p_value: Type.Optional(
            Type.Number({ description: "Share of divisions in which some feature's distance is as large" }),
          ),
          average_precision: Type.Number({ description: "Of finding the rows of `set` by its value" }),
          rate: pair("Share of rows in which it is active"),
          mean: pair("Over all rows, 0 where it is not active"),
        },
        { title: "ContrastedFeature" },
      ),
      { description: "Best first" },
    ),
  },
  { title: "ContrastAnswer" },
);
