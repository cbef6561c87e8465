import Type, { type Static, type TSchema } from "typebox";
import {
  DICTIONARY_ID_PATTERN,
  INPUT_NORMS,
  ORTHOGONAL_SCORES,
  REQUEST_ENCODERS,
  RESELECTS,
  SCORES,
} from "../../engine/core/dictionary.ts";
import { CODE_COLUMNS, type ColumnRule } from "../../engine/core/sparse-codes.ts";
import { DTYPES } from "../../codecs/rows.ts";
import { FORMATS } from "../../codecs/write-codes.ts";

/**
 * The wire's shapes: what Ajv validates by, and what openapi/openapi.json is made of. The document lists every schema
 * with a title under components, by that name.
 */

export const closed = { additionalProperties: false } as const;
export const oneOf = <T extends string>(values: readonly T[], options = {}) =>
  Type.Enum(values as [T, ...T[]], options);
const numbers = (description: string) => Type.Array(Type.Number(), { description });

export const PROBLEM_SCHEMA_ID = "Problem";

/** Registered with the application once, and referred to by every route. */
export const ProblemSchema = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String({ description: "Stable: PURSUIT_…, see docs/errors.md" }),
    detail: Type.String({ description: "What, where (field and row) and what to do" }),
    request_id: Type.String(),
  },
  { $id: PROBLEM_SCHEMA_ID, description: "RFC 9457 problem" },
);

export const BudgetSchema = Type.Object(
  {
    max_atoms: Type.Optional(
      Type.Integer({ minimum: 0, description: "Selections at most, up to the dictionary's max_atoms" }),
    ),
    tolerance: Type.Optional(Type.Number({ minimum: 0, description: "Stop once ‖r‖ ≤ tolerance · ‖x − b‖; 0 is off" })),
    residual_norm: Type.Optional(Type.Number({ minimum: 0, description: "Stop once ‖r‖ ≤ this; 0 is off" })),
    min_gain: Type.Optional(
      Type.Number({
        minimum: 0,
        description: "Stop before a step that lowers ‖r‖² by less than this share of ‖x − b‖²; 0 is off",
      }),
    ),
    group: Type.Optional(
      Type.Integer({ minimum: 1, description: "Use the first so many atoms only: one of the dictionary's groups" }),
    ),
  },
  { ...closed, title: "Budget" },
);
export type BudgetWire = Static<typeof BudgetSchema>;

/** Read by codecs/rows.ts, number by number, and not by the validator. */
export const InputsSchema = Type.Union(
  [
    Type.Array(Type.Array(Type.Number()), {
      description:
        "Rows of d numbers; [batch, seq, d] is flattened and its shape echoed. A dictionary over several layers also takes [n, layers, d]",
    }),
    Type.Object(
      {
        data: Type.String({ description: "base64, row-major, little-endian" }),
        dtype: oneOf(Object.keys(DTYPES) as (keyof typeof DTYPES)[]),
        shape: Type.Array(Type.Integer({ minimum: 0 }), { minItems: 2, description: "[…, d]" }),
      },
      { ...closed, title: "Base64Rows" },
    ),
  ],
  { title: "Rows" },
);

export const BUDGET =
  "One for all rows, or one per row. Without it the dictionary's default_budget holds; {} is no limit but max_atoms of the dictionary";

const pursuits = [
  Type.Object(
    {
      kind: oneOf(["matching_pursuit"]),
      score: Type.Optional(oneOf(SCORES, { description: "relu if not given" })),
      reselect: Type.Optional(oneOf(RESELECTS, { description: "add if not given" })),
    },
    { ...closed, title: "MatchingPursuit" },
  ),
  Type.Object(
    {
      kind: oneOf(["orthogonal"]),
      score: Type.Optional(
        oneOf(ORTHOGONAL_SCORES, { description: "relu if not given; the dictionary's own where it is one of pursuit" }),
      ),
    },
    { ...closed, title: "OrthogonalMatchingPursuit" },
  ),
];

/** Of the document. Requests are read by codecs/read-encoder.ts, which says what is wrong with one. */
export const EncoderSchema = Type.Optional(
  Type.Union([oneOf(["own", ...REQUEST_ENCODERS]), ...pursuits], {
    title: "Encoder",
    description:
      "own if not given. matching_pursuit: over the decoder. orthogonal: every selection re-solves all coefficients. Autoencoders only",
  }),
);
const Posted = Type.Optional(Type.Unknown());

const encodeFields = {
  budget: Type.Optional(Type.Union([BudgetSchema, Type.Array(BudgetSchema)], { description: BUDGET })),
  format: Type.Optional(oneOf(FORMATS, { description: "If not given: csr in a MessagePack answer, else sparse" })),
  include: Type.Optional(
    Type.Array(oneOf(["trace", "reconstruction", "labels", "summary", "correlations", "typicality"]), {
      uniqueItems: true,
      description: "summary: mean_atoms and explained_variance over the rows of this request",
    }),
  ),
  correlations: Type.Optional(
    Type.Integer({
      minimum: 1,
      description:
        "With correlations in include: how many of the largest numbers of D·(x − b) to answer for each row, up to m. Autoencoders and crosscoders only",
    }),
  ),
  timeout_ms: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: "504 if a row is not encoded by then" })),
  on_overload: Type.Optional(
    oneOf(["reject", "degrade"], {
      description:
        "reject if not given: 429 where the wait would be too long. degrade: fewer atoms then, and stop degraded on each row that was cut short; an encoder of one pass spends the same whatever its budget, and is not shortened",
    }),
  ),
};
/** What is left of a body once codecs/read-body.ts has taken the rows out. */
export const EncodeFieldsSchema = Type.Object({ ...encodeFields, encoder: Posted }, closed);
export type EncodeFields = Static<typeof EncodeFieldsSchema>;
const TargetsSchema = Type.Optional(
  Type.Unsafe<unknown>({
    ...InputsSchema,
    description:
      "Transcoders only: what the rows should become, as inputs. Residuals are measured against them; without them there are none",
  }),
);
export const EncodeBodySchema = Type.Object(
  { inputs: InputsSchema, targets: TargetsSchema, encoder: EncoderSchema, ...encodeFields },
  { ...closed, title: "EncodeRequest" },
);

/** What is left of a decode body: the codes are read by codecs/codes.ts, other fields of an encode answer are passed over. */
export const DecodeFieldsSchema = Type.Object(
  {
    sha256: Type.Optional(
      Type.String({ description: "Version that made the codes; refused if it is another one now" }),
    ),
    group: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: "Decode with the first so many atoms only: one of the dictionary's groups",
      }),
    ),
  },
  closed,
);
export type DecodeFields = Static<typeof DecodeFieldsSchema>;

const norm = Type.Object(
  { shift: Type.Number(), scale: Type.Number() },
  { title: "InputNorm", description: "Required where encode gave one" },
);
const indexList = Type.Array(Type.Integer({ minimum: 0 }));
const CodeSchema = Type.Union([
  Type.Object(
    { indices: indexList, values: Type.Array(Type.Number()), norm: Type.Optional(norm) },
    { title: "PostedSparseCode" },
  ),
  Type.Object(
    { values: Type.Record(Type.String(), Type.Number()), norm: Type.Optional(norm) },
    { title: "PostedMapCode", description: "As format map" },
  ),
  Type.Object(
    { values: Type.Array(Type.Number(), { description: "m numbers" }), norm: Type.Optional(norm) },
    { title: "PostedDenseCode", description: "As format dense" },
  ),
]);
const ColumnsSchema = Type.Object(
  {
    indptr: indexList,
    indices: indexList,
    values: Type.Array(Type.Number()),
    norm: Type.Optional(
      Type.Union([
        Type.Array(norm),
        Type.Object({ shift: Type.Array(Type.Number()), scale: Type.Array(Type.Number()) }),
      ]),
    ),
  },
  { title: "PostedCsrCodes", description: "As format csr" },
);

/** In any format of encode answers. */
export const PostedCodesSchema = Type.Union([Type.Array(CodeSchema), ColumnsSchema]);

export const DecodeBodySchema = Type.Object(
  {
    inputs: Type.Optional(
      Type.Unsafe<unknown>({
        ...InputsSchema,
        description: "Transcoders with a skip only: the rows that were encoded, which decode adds a product of",
      }),
    ),
    ...DecodeFieldsSchema.properties,
    codes: Type.Unsafe<unknown>({
      ...PostedCodesSchema,
      description: "In any format; a code's other fields are ignored, so an encode answer may be posted back whole",
    }),
  },
  { title: "DecodeRequest", description: "An encode answer, or its codes" },
);

const GROUPS: Readonly<Record<string, string>> = {
  norm: "What decode needs to undo the input norm",
  typicality:
    "At which quantile of the dictionary's reference rows, encoded under the same budget, figures of the row lie: 0 to 1",
  correlations:
    "The largest numbers of D·(x − b), in pursuit space, over all atoms as decode uses them: by value, not by magnitude",
  trace:
    "Every selection, unmerged and in order: the first k are the pursuit of budget k. Of an orthogonal pursuit, the value that each atom had when it was selected: the first k indices are those of budget k, their coefficients must be solved for again",
};

/** What a row says of a column; undefined for a column that only a format lays out. */
function cellSchema({ extent, type, about, names }: ColumnRule): TSchema | undefined {
  const options = about === "" ? {} : { description: about };
  const number = type === Float32Array ? Type.Number() : Type.Integer();
  if (extent === "rows") return names ? oneOf(names, options) : Type.Unsafe({ ...number, ...options });
  return extent === "trace_entries" || extent === "values" ? Type.Array(number, options) : undefined;
}

/** Fields of a row's code beside its indices and values: one for each column of codes. */
function columnFields(): Record<string, TSchema> {
  const fields: Record<string, TSchema> = {};
  const groups: Record<string, Record<string, TSchema>> = {};
  for (const rule of CODE_COLUMNS) {
    const cell = cellSchema(rule);
    if (cell === undefined) continue;
    const schema = rule.optional ? Type.Optional(cell) : cell;
    const [outer, inner] = rule.key;
    if (inner === undefined) fields[outer] = schema;
    else (groups[outer] ??= {})[inner] = schema;
  }
  for (const [name, members] of Object.entries(groups))
    fields[name] = Type.Optional(Type.Object(members, { description: GROUPS[name]! }));
  return fields;
}

const rowFields = {
  atoms: Type.Integer({ description: "Distinct atoms" }),
  ...columnFields(),
};
const label = Type.Union([Type.String(), Type.Null()]);
const labelList = Type.Optional(
  Type.Array(label, { description: "Texts of the features, one per index; null for none" }),
);
const labelMap = Type.Optional(
  Type.Record(Type.String(), label, { description: "Texts of the features; null for none" }),
);

const SOURCES = "Where each label comes from; examples: words of the feature's top examples, where it has no label";
const sourceList = Type.Optional(Type.Array(label, { description: SOURCES }));
const sourceMap = Type.Optional(Type.Record(Type.String(), label, { description: SOURCES }));

export const VERSION = "Version of the dictionary: a digest of its weights and encoder settings";

export const AnsweredEncoderSchema = Type.Optional(
  Type.Union(pursuits, { description: "The pursuit that made the codes; absent: the dictionary's own encoder" }),
);

const answerFields = {
  dictionary: Type.String(),
  sha256: Type.String({ description: VERSION }),
  encoder: AnsweredEncoderSchema,
  warning: Type.Optional(
    Type.String({
      description:
        "These rows are explained less than half as well as the dictionary's held-out rows are by as many atoms: are they of its model, layer and scale?",
    }),
  ),
  mean_atoms: Type.Optional(Type.Number({ description: "Included by summary" })),
  explained_variance: Type.Optional(
    Type.Union([Type.Number(), Type.Null()], {
      description:
        "Included by summary: 1 − Σ‖x − x̂‖² / Σ‖x − mean‖², over the rows of this request and their own mean; null where they do not vary. Published figures take the mean of many more rows, so do not compare this with them",
    }),
  ),
};
const shape = Type.Optional(
  Type.Array(Type.Integer(), { description: "Of the inputs, where they had more than one leading dimension" }),
);
const indices = Type.Array(Type.Integer(), { description: "Ascending and distinct" });
const coded = <T extends TSchema>(format: string, values: T, more = {}) =>
  Type.Object(
    {
      ...answerFields,
      shape,
      codes: Type.Array(Type.Object({ ...more, values, ...rowFields }, { title: `${format}Code` })),
    },
    { title: `${format}Codes` },
  );
const column = (schema: TSchema) => Type.Array(schema);

/** Written by codecs/write-codes.ts as text: here for the document. */
export const EncodeAnswerSchema = Type.Union([
  coded("Sparse", numbers("One per index"), { indices, labels: labelList, label_sources: sourceList }),
  coded("Dense", numbers("m numbers, format dense")),
  coded("Map", Type.Record(Type.String(), Type.Number(), { description: "format map" }), {
    labels: labelMap,
    label_sources: sourceMap,
  }),
  Type.Object(
    {
      ...answerFields,
      indptr: Type.Array(Type.Integer()),
      indices: Type.Array(Type.Integer()),
      values: Type.Array(Type.Number()),
      labels: labelList,
      label_sources: sourceList,
      shape: Type.Array(Type.Integer(), { description: "[n, m]" }),
      ...Object.fromEntries(Object.entries(rowFields).map(([name, schema]) => [name, Type.Optional(column(schema))])),
    },
    { title: "CsrCodes", description: "format csr: what scipy.sparse.csr_matrix takes, the other fields in columns" },
  ),
]);

const transferFields = {
  from: Type.String({ pattern: DICTIONARY_ID_PATTERN, description: "The dictionary that the inputs belong to" }),
  to: Type.String({
    pattern: DICTIONARY_ID_PATTERN,
    description: "The dictionary that they are wanted in, of equal m",
  }),
  budget: encodeFields.budget,
  include: Type.Optional(
    Type.Array(oneOf(["summary"]), {
      uniqueItems: true,
      description: "summary: mean_atoms and explained_variance of `from`, over the rows of this request",
    }),
  ),
  timeout_ms: encodeFields.timeout_ms,
};
export const TransferFieldsSchema = Type.Object({ ...transferFields, encoder: Posted }, closed);
export type TransferFields = Static<typeof TransferFieldsSchema>;
const TransferEncoderSchema = Type.Optional(
  Type.Unsafe<unknown>({
    ...EncoderSchema,
    description: "As of encode, by the atoms of `from`; orthogonal if not given",
  }),
);
export const TransferBodySchema = Type.Object(
  { inputs: InputsSchema, encoder: TransferEncoderSchema, ...transferFields },
  { ...closed, title: "TransferRequest" },
);

const outputs = Type.Array(Type.Array(Type.Number()));
export const LayeredOutputsSchema = Type.Union([
  outputs,
  Type.Array(Type.Array(Type.Array(Type.Number())), {
    description: "[n, layers, d], of a dictionary over several layers",
  }),
]);
export const DecodeAnswerSchema = Type.Object({ outputs: LayeredOutputsSchema }, { title: "DecodedRows" });

/** Put together by routes/v1/transfer.ts from an encode and a decode answer. */
export const TransferAnswerSchema = Type.Object(
  {
    outputs,
    to: Type.Object({
      dictionary: Type.String(),
      sha256: Type.String({ description: VERSION }),
      input_norm: oneOf(INPUT_NORMS, { description: "Other than none: outputs are rows as normed by this" }),
    }),
    from: coded("Sparse", numbers("One per index"), { indices, labels: labelList, label_sources: sourceList }),
  },
  { title: "TransferredRows" },
);
