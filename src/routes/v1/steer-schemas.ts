import Type, { type Static } from "typebox";
import { CODE_OPS, DIRECTION_OPS, MAX_EDITS } from "../../engine/core/edits.ts";
import { DICTIONARY_ID_PATTERN } from "../../engine/core/dictionary.ts";
import {
  AnsweredEncoderSchema,
  BUDGET,
  BudgetSchema,
  EncoderSchema,
  InputsSchema,
  LayeredOutputsSchema,
} from "./schemas.ts";

/** The wire's shapes of steering: what Ajv validates by, and what openapi/openapi.json is made of. */

const closed = { additionalProperties: false } as const;
const oneOf = <T extends string>(values: readonly T[], options = {}) => Type.Enum(values as [T, ...T[]], options);

const bounds = { min: Type.Optional(Type.Number()), max: Type.Optional(Type.Number()) };
const rows = Type.Optional(
  Type.Array(Type.Integer({ minimum: 0 }), { description: "Rows that it applies to; the request's if not given" }),
);

const CodeEditSchema = Type.Object(
  {
    feature: Type.Integer({ minimum: 0 }),
    op: oneOf(CODE_OPS, { description: "Changes the coefficient z of the feature; an absent atom is 0" }),
    value: Type.Optional(
      Type.Number({ description: "add: z + value; set: value; scale: z · value; clamp: both bounds" }),
    ),
    ...bounds,
    when: Type.Optional(Type.Object(bounds, { ...closed, description: "Skips a row whose z lies outside" })),
    rows,
  },
  { ...closed, title: "CodeEdit" },
);

const DirectionEditSchema = Type.Object(
  {
    feature: Type.Optional(Type.Integer({ minimum: 0 })),
    vector: Type.Optional(Type.Array(Type.Number(), { description: "d numbers; instead of a feature" })),
    op: oneOf(DIRECTION_OPS, { description: "Acts on the row along the unit direction u" }),
    strength: Type.Optional(
      Type.Number({
        description: "add_direction: y + strength · u; project_out: y − strength · (y·u) u, 1 if not given",
      }),
    ),
    relative: Type.Optional(Type.Boolean({ description: "add_direction: strength is in units of the row's norm" })),
    ...bounds,
    rows,
  },
  { ...closed, title: "DirectionEdit" },
);

const EditsSchema = Type.Array(Type.Union([CodeEditSchema, DirectionEditSchema]), {
  title: "Edits",
  maxItems: MAX_EDITS,
  description: "Code edits in order, then direction edits in order; see docs/steering.md",
});

/** Read by engine/core/edits.ts, which names the edit that is wrong, and not by the validator. */
const Posted = Type.Unknown();

const steerFields = {
  set: Type.Optional(
    Type.String({ pattern: DICTIONARY_ID_PATTERN, description: "A kept set, whose edits come before edits" }),
  ),
  rows: Type.Optional(
    Type.Array(Type.Integer({ minimum: 0 }), { description: "Rows that edits without rows of their own apply to" }),
  ),
  budget: Type.Optional(Type.Union([BudgetSchema, Type.Array(BudgetSchema)], { description: BUDGET })),
  include: Type.Optional(
    Type.Array(oneOf(["effect"]), { uniqueItems: true, description: "effect: coefficients, and what else moved" }),
  ),
  timeout_ms: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
  on_overload: Type.Optional(oneOf(["reject"], { description: "degrade does not apply to steer" })),
};
/** What is left of a body once its rows have been read. */
export const SteerFieldsSchema = Type.Object(
  { edits: Type.Optional(Posted), ...steerFields, encoder: Type.Optional(Posted), rows: Type.Optional(Posted) },
  closed,
);
export type SteerFields = Static<typeof SteerFieldsSchema>;
export const SteerBodySchema = Type.Object(
  { inputs: InputsSchema, edits: Type.Optional(EditsSchema), encoder: EncoderSchema, ...steerFields },
  { ...closed, title: "SteerRequest" },
);

export const SteerAnswerSchema = Type.Object(
  {
    dictionary: Type.String(),
    sha256: Type.String(),
    encoder: AnsweredEncoderSchema,
    shape: Type.Optional(Type.Array(Type.Integer())),
    outputs: LayeredOutputsSchema,
    changes: Type.Array(
      Type.Object({
        norm: Type.Number({ description: "‖y − x‖" }),
        edits: Type.Optional(
          Type.Array(
            Type.Object({
              edit: Type.Integer({ description: "Its place in edits, or in the set's" }),
              set: Type.Optional(Type.String()),
              feature: Type.Optional(Type.Integer()),
              before: Type.Number({
                description: "Coefficient, or component along the direction, just before the edit",
              }),
              after: Type.Number(),
            }),
            { description: "include effect: the edits that apply to this row" },
          ),
        ),
        moved: Type.Optional(
          Type.Array(
            Type.Object({
              feature: Type.Integer(),
              before: Type.Number({ description: "In the code of the posted row" }),
              after: Type.Number({ description: "In the code of the steered row" }),
              asked: Type.Boolean({ description: "Whether an edit names it" }),
            }),
            { description: "include effect: features whose coefficients differ once the steered row is encoded" },
          ),
        ),
      }),
    ),
  },
  { title: "SteeredRows" },
);

export const SetFieldsSchema = Type.Object({ edits: Posted }, closed);
export const SetBodySchema = Type.Object({ edits: EditsSchema }, { ...closed, title: "SteeringSetRequest" });

const setFields = {
  name: Type.String(),
  sha256: Type.String({ description: "Version of the dictionary that it was saved for" }),
  stale: Type.Boolean({ description: "The dictionary is another version now: refused until it is saved again" }),
  etag: Type.String(),
};
export const SteeringSetSchema = Type.Object({ ...setFields, edits: EditsSchema }, { title: "SteeringSet" });
export const SteeringSetsSchema = Type.Object(
  {
    sets: Type.Array(
      Type.Object({ ...setFields, edits: Type.Integer({ description: "How many" }), bytes: Type.Integer() }),
    ),
    next: Type.Optional(Type.String({ description: "The list goes on: ask for the sets after this name" })),
  },
  { title: "SteeringSets" },
);
