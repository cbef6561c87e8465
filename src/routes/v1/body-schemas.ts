import Type, { type TSchema } from "typebox";
import { BODY_MEDIA, LINES_MEDIA } from "../media-types.ts";

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
    return [[media, type === "json" ? json : MsgpackSchema]];
  });
  return { ...Object.fromEntries(schemas), ...(lines && { [LINES_MEDIA]: LinesSchema }) };
}

const text = (description: string) => Type.Optional(Type.String({ description }));

/** Fields that the query holds where the body is bytes or lines. Checked as the fields of the body that they are. */
export const FieldsQuerySchema = Type.Object({
  dtype: text("octet-stream: float32, float64, float16 or bfloat16"),
  rows: text("octet-stream: how many"),
  max_atoms: text("A part of the budget, as are the next four"),
  tolerance: text(""),
  residual_norm: text(""),
  min_gain: text(""),
  group: text(""),
  budget: text(
    "The whole of it as JSON, one for all rows or a list; instead of its parts. The URL and headers hold 16 KiB, some 500 budgets: send more in a JSON or MessagePack body",
  ),
  encoder: text('own, matching_pursuit or orthogonal; or {"kind", "score", "reselect"} as JSON'),
  format: text("sparse, csr, dense or map. If not given: csr in a MessagePack answer, else sparse"),
  include: text("trace, reconstruction, labels and summary, with commas"),
  timeout_ms: text("Of each group, where lines are streamed"),
  on_overload: text(""),
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
    "indptr, indices, values (dense: values [n, m]), steps, stop, residual_norm, relative_error and what was included; dictionary, sha256, shape and stop_names in __metadata__",
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
