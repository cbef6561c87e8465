import Type, { type TSchema } from "typebox";
import { InputsSchema, closed } from "./schemas.ts";

/** Wire shapes of features: what describes them, what lists them, and what finds them. */

const named = <T extends TSchema>(title: string, schema: T): T => ({ ...schema, title });

const LabelSchema = named(
  "FeatureLabel",
  Type.Object({
    text: Type.String(),
    source: Type.String({
      description: "Where it comes from; examples: words that the feature's top examples share, not a label",
    }),
    score: Type.Optional(Type.Number({ description: "How well it separates the rows that the feature fires on" })),
    author: Type.Optional(Type.String()),
  }),
);

const ExampleSchema = named(
  "FeatureExample",
  Type.Object({
    row: Type.Integer({ description: "Number of the reference row" }),
    value: Type.Number({ description: "The feature's value in its code" }),
    text: Type.Optional(Type.String({ description: "Of the row; absent where the rows came without texts" })),
  }),
);

const StatisticsSchema = named(
  "FeatureStatistics",
  Type.Object({
    rows: Type.Integer({ description: "Reference rows in which the feature is active" }),
    rate: Type.Number({ description: "Share of all reference rows" }),
    mean: Type.Number({ description: "Over the rows in which it is active, as is all below" }),
    max: Type.Number({ description: "The value of largest magnitude" }),
    quantiles: Type.Record(Type.String(), Type.Number(), {
      description: 'Value by quantile, such as "0.5"; within 5 percent',
    }),
    histogram: Type.Object(
      { edges: Type.Array(Type.Number()), counts: Type.Array(Type.Integer()) },
      { description: "counts[i] values lie from edges[i] to edges[i + 1]; widths grow with the value" },
    ),
  }),
);

const shownLabel = {
  label: Type.Optional(Type.String({ description: "The best label" })),
  label_source: Type.Optional(Type.String({ description: "As source of FeatureLabel" })),
};

const summaryFields = {
  index: Type.Integer(),
  ...shownLabel,
  label_score: Type.Optional(Type.Number()),
  norm: Type.Number({ description: "‖D_j‖" }),
  rate: Type.Optional(Type.Number({ description: "Share of rows in which the feature is active" })),
  mean: Type.Optional(Type.Number({ description: "Over the reference rows in which it is active" })),
  max: Type.Optional(Type.Number({ description: "Of the reference rows" })),
};

const relevance = Type.Optional(Type.Number({ description: "Within this search" }));
const SummarySchema = named("FeatureSummary", Type.Object({ ...summaryFields, relevance }));

export const FeaturePageSchema = named(
  "FeaturePage",
  Type.Object({
    features: Type.Array(SummarySchema),
    total: Type.Integer({ description: "Features of the whole list" }),
    next: Type.Optional(Type.String({ description: "`after` of the next page; absent on the last" })),
  }),
);

const cosine = Type.Number();
const NeighbourSchema = named("FeatureNeighbour", Type.Object({ index: Type.Integer(), cosine, ...shownLabel }));

const CoFiringSchema = named(
  "FeatureCoFiring",
  Type.Object({
    index: Type.Integer(),
    lift: Type.Number({ description: "How many times as often as two independent features of these rates" }),
    count: Type.Integer({ description: "Reference rows in which both are active" }),
    ...shownLabel,
  }),
);

const SeparationSchema = named(
  "FeatureClass",
  Type.Object({
    class: Type.String(),
    distance: Type.Number({ description: "Jensen–Shannon distance of the values in and outside the class, 0 to 1" }),
    average_precision: Type.Number({ description: "Of the value as a score for the class" }),
  }),
);

export const FeatureSchema = named(
  "Feature",
  Type.Object({
    index: Type.Integer(),
    ...shownLabel,
    score: Type.Optional(Type.Number({ description: "Of the best label" })),
    rate: summaryFields.rate,
    norm: summaryFields.norm,
    labels: Type.Array(LabelSchema, { description: "All of them, the best first" }),
    statistics: Type.Optional(StatisticsSchema),
    examples: Type.Optional(Type.Array(ExampleSchema, { description: "Largest values, the largest first" })),
    sample: Type.Optional(
      Type.Array(ExampleSchema, { description: "Rows over the range of its values, the largest first" }),
    ),
    neighbours: Type.Array(NeighbourSchema, { description: "Nearest atoms by cosine, the nearest first" }),
    fires_with: Type.Optional(Type.Array(CoFiringSchema, { description: "Of the largest lift, that first" })),
    classes: Type.Optional(Type.Array(SeparationSchema, { description: "Of the largest distance, that first" })),
  }),
);

const searchFields = {
  query: Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: "Words, instead of inputs" })),
  n: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: "20 if not given" })),
};
/** What is left of the body once codecs/read-body.ts has taken the row out. */
export const SearchFieldsSchema = Type.Object(searchFields, closed);
export const SearchBodySchema = named(
  "FeatureSearch",
  Type.Object({ inputs: Type.Optional(InputsSchema), ...searchFields }, closed),
);
export const FoundFeaturesSchema = named(
  "FoundFeatures",
  Type.Object({
    features: Type.Array(
      Type.Object({
        ...summaryFields,
        relevance,
        cosine: Type.Optional(Type.Number({ description: "Of the atom with the row less the dictionary's centre" })),
      }),
    ),
  }),
);

export const ExamplesSchema = named(
  "Examples",
  Type.Object({
    inputs: Type.Array(Type.Array(Type.Number()), { description: "[n, d_in]" }),
    texts: Type.Array(Type.String(), { description: "One a row" }),
  }),
);
