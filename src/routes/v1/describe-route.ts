import type { FastifySchema } from "fastify";
import Type, { type TSchema } from "typebox";
import { DICTIONARY_ID_PATTERN } from "../../engine/core/dictionary.ts";
import { DTYPES } from "../../codecs/rows.ts";
import { FORMATS } from "../../codecs/write-codes.ts";
import { BudgetSchema, oneOf, PROBLEM_SCHEMA_ID } from "./schemas.ts";
import { BODY_MEDIA, LINES_MEDIA, NPY_MEDIA } from "../media-types.ts";

interface RouteDescription {
  readonly summary: string;
  readonly operationId: string;
  /** Whether the path names a dictionary. */
  readonly id?: boolean;
  readonly params?: Readonly<Record<string, TSchema>>;
  /** By content type. A type without a schema here is not validated, so list every accepted one. */
  readonly body?: Readonly<Record<string, TSchema>>;
  readonly query?: TSchema;
  /** Absent: 204, without a body. */
  readonly answer?: TSchema;
  readonly contentType?: string;
  /** The same answer in other content types. */
  readonly answers?: Readonly<Record<string, TSchema>>;
  /** Error statuses beside those of every route. */
  readonly problems?: readonly number[];
  /** Statuses with an answer of their own form. */
  readonly others?: Readonly<Record<number, TSchema>>;
  /** Whether it answers 304 to clients that have it already (RFC 9110 §13.1.2). */
  readonly conditional?: boolean;
  readonly tag?: string;
}

const PROBLEM = {
  description: "Problem",
  content: { "application/problem+json": { schema: { $ref: `${PROBLEM_SCHEMA_ID}#` } } },
};

/**
 * Of every route except health and metrics: no key, no such answer, too many requests, closing. Then those of routes
 * with a body.
 */
const EVERYWHERE = [401, 406, 429, 503];
const WITH_BODY = [400, 408, 413, 415, 422];

const contentOf = (schemas: Readonly<Record<string, TSchema>>): Record<string, { schema: TSchema }> =>
  Object.fromEntries(Object.entries(schemas).map(([type, schema]) => [type, { schema }]));

/** A route's schema, with bodies and answers by content type. Answers over 1 kB are written as text, unvalidated. */
export function describeRoute(route: RouteDescription): FastifySchema {
  const { contentType = "application/json", tag = "dictionaries", others = {} } = route;
  const problems = [
    ...(tag === "operations" ? [] : EVERYWHERE),
    ...(route.body ? WITH_BODY : []),
    ...(route.problems ?? []),
  ];
  const params = { ...(route.id && { id: Type.String({ pattern: DICTIONARY_ID_PATTERN }) }), ...route.params };
  return {
    summary: route.summary,
    operationId: route.operationId,
    tags: [tag],
    ...(Object.keys(params).length > 0 && { params: Type.Object(params) }),
    ...(route.query && { querystring: route.query }),
    ...(route.body && { body: { content: contentOf(route.body) } }),
    response: {
      ...(route.answer
        ? { 200: { description: "", content: contentOf({ [contentType]: route.answer, ...route.answers }) } }
        : { 204: { description: "", type: "null" } }),
      ...(route.conditional && { 304: { description: "Unchanged: if-none-match names its etag", type: "null" } }),
      ...Object.fromEntries(problems.map((status) => [status, PROBLEM])),
      ...Object.fromEntries(
        Object.entries(others).map(([status, schema]) => [
          status,
          { description: "", content: { [contentType]: { schema } } },
        ]),
      ),
    },
  };
}

/** The wire's shapes beside JSON, for the document: each is read and written by hand in src/codecs. */

const MsgpackSchema = Type.Unknown({
  description:
    'The object of the JSON body; a list of numbers may be {"data": bin, "dtype", "shape"}, row-major and little-endian',
});
const BytesSchema = Type.Unsafe<string>({
  type: "string",
  contentMediaType: "application/octet-stream",
  description: "Rows, row-major and little-endian; dtype, rows and every field of the JSON body in the query",
});
const NpySchema = Type.Unsafe<string>({
  type: "string",
  contentMediaType: NPY_MEDIA,
  description: "A .npy file of rows, C order; every field of the JSON body in the query. octet-stream takes it too",
});
const LinesSchema = Type.Unsafe<string>({
  type: "string",
  description: 'A line is a row […] or {"input": […], "budget": {…}, "encoder", "id"}; the other fields in the query',
});

/** Every content type of a body. Fastify validates what it finds here, so each name that is taken must be. */
export function bodySchemas(
  json: TSchema,
  { rows, lines }: { rows: boolean; lines: boolean },
): Record<string, TSchema> {
  const schemas = [...BODY_MEDIA].flatMap(([media, type]): [string, TSchema][] => {
    if (type === "octet-stream") return rows ? [[media, BytesSchema]] : [];
    if (type === "npy") return rows ? [[media, NpySchema]] : [];
    return [[media, type === "json" ? json : MsgpackSchema]];
  });
  return { ...Object.fromEntries(schemas), ...(lines && { [LINES_MEDIA]: LinesSchema }) };
}

/**
 * A parameter of a path or query: validated as text, because every one is, and documented as what the text holds.
 * @param documented what it holds; text if not given
 */
export const textParameter = (description: string, documented?: TSchema) =>
  Type.String({
    ...(description && { description }),
    ...(documented && { documented: { ...documented, ...(description && { description }) } }),
  });

/** A field of the query, which it may lack: see {@link textParameter}. */
export const queryText = (description: string, documented?: TSchema) =>
  Type.Optional(textParameter(description, documented));

/** Fields that the query holds where the body is bytes or lines. Checked as the fields of the body that they are. */
export const FieldsQuerySchema = Type.Object({
  dtype: queryText("octet-stream: the numbers' type", oneOf(Object.keys(DTYPES))),
  rows: queryText("octet-stream: how many", Type.Integer({ minimum: 0 })),
  max_atoms: queryText("A part of the budget, as are the next four", BudgetSchema.properties.max_atoms),
  tolerance: queryText("", BudgetSchema.properties.tolerance),
  residual_norm: queryText("", BudgetSchema.properties.residual_norm),
  min_gain: queryText("", BudgetSchema.properties.min_gain),
  group: queryText("", BudgetSchema.properties.group),
  budget: queryText(
    "The whole of it as JSON, one for all rows or a list; instead of its parts. The URL and headers hold 16 KiB, some 500 budgets: send more in a JSON or MessagePack body",
  ),
  encoder: queryText('own, matching_pursuit or orthogonal; or {"kind", "score", "reselect"} as JSON'),
  format: queryText("If not given: csr in a MessagePack answer, else sparse", oneOf(FORMATS)),
  include: queryText("trace, reconstruction, labels, summary, correlations and typicality, with commas"),
  correlations: queryText("How many of each row, where include names them", Type.Integer({ minimum: 1 })),
  timeout_ms: queryText("Of each group, where lines are streamed", Type.Number({ exclusiveMinimum: 0 })),
  on_overload: queryText("", oneOf(["reject", "degrade"])),
});

/** The same of steer, whose `rows` beside a .npy file are those that edits apply to. */
export const SteerQuerySchema = Type.Object({
  ...Type.Omit(FieldsQuerySchema, ["format", "include", "on_overload", "rows"]).properties,
  rows: queryText(
    "octet-stream: how many. .npy: the rows that edits apply to, as a JSON list",
    Type.Union([Type.Integer({ minimum: 0 }), Type.String()]),
  ),
  edits: queryText("A JSON list of edits"),
  set: queryText("A kept set, whose edits come before edits"),
  include: queryText("effect"),
});

const binary = (contentMediaType: string, description: string): TSchema =>
  Type.Unsafe<string>({ type: "string", contentMediaType, description });

export const CODES_ANSWERS = {
  "application/msgpack": Type.Unknown({
    description:
      'In format csr, the default: one array {"data": bin, "dtype", "shape"} for each field, norm and trace being maps of arrays; stop and labels are lists. In the other formats the JSON answer, its lists of numbers as such arrays',
  }),
  "application/vnd.safetensors": binary(
    "application/vnd.safetensors",
    "indptr, indices, values (dense: values [n, m]), steps, stop, residual_norm, relative_error and what was included, correlations as correlations_indices and correlations_values [n, k]; dictionary, sha256, shape and stop_names in __metadata__",
  ),
  [LINES_MEDIA]: Type.Unsafe<string>({
    type: "string",
    description: 'A code a line, with its id; or {"error": a problem, "line": counted from 1}',
  }),
} as const satisfies Record<string, TSchema>;

export const ROWS_ANSWERS = {
  "application/msgpack": Type.Unknown({
    description: '{"outputs": {"data": bin, "dtype": "float32", "shape": [n, d]}}',
  }),
  "application/vnd.safetensors": binary("application/vnd.safetensors", "The tensor outputs [n, d]"),
  "application/octet-stream": binary("application/octet-stream", "[n, d] float32, row-major and little-endian"),
  [LINES_MEDIA]: Type.Unsafe<string>({ type: "string", description: "A row a line" }),
} as const satisfies Record<string, TSchema>;
