import Type, { type Static } from "typebox";
import { PURSUIT_PATHS, ROLES, RUNTIME_STATES } from "../../engine/core/dictionary.ts";
import { ENCODER_KINDS, encoderSchemas } from "../../engine/encoders/registry.ts";
import { DICTIONARY_STATES } from "../../engine/engine.ts";
import { BudgetSchema, oneOf, VERSION } from "./schemas.ts";

const RuntimeStateSchema = oneOf(RUNTIME_STATES, {
  description: "hung: no answer for many times the predicted time; restarting: its process is being restarted",
});

export const DictionarySchema = Type.Object(
  {
    id: Type.String(),
    state: oneOf(DICTIONARY_STATES),
    kind: Type.Optional(oneOf(ENCODER_KINDS)),
    role: Type.Optional(
      oneOf(ROLES, {
        description:
          "autoencoder: decodes to the row itself; transcoder: to another activation; crosscoder and cross_layer_transcoder: the same over several layers",
      }),
    ),
    d: Type.Optional(Type.Integer({ description: "Row length, the same as d_in" })),
    d_in: Type.Optional(Type.Integer({ description: "Row length, of all layers together" })),
    d_out: Type.Optional(Type.Integer({ description: "Length of a decoded row" })),
    m: Type.Optional(Type.Integer({ description: "Atoms" })),
    layers: Type.Optional(
      Type.Integer({
        description: "Layers side by side in a row: [n, layers, d] or flattened; outputs are [n, layers, d]",
      }),
    ),
    blocks: Type.Optional(
      Type.Array(
        Type.Object({
          from: Type.Integer({ description: "First atom" }),
          to: Type.Integer({ description: "Atom after the last" }),
          layer: Type.Integer({ description: "Layer that the atoms read" }),
          writes: Type.Array(Type.Integer(), { description: "Layers that they write to" }),
        }),
        { description: "Atoms that read one layer each; absent: every atom reads all layers" },
      ),
    ),
    groups: Type.Optional(
      Type.Array(Type.Integer(), { description: "Nested widths, ascending to m, that a budget's group may be" }),
    ),
    encoder: Type.Optional(Type.Union([...encoderSchemas(Type)], { description: "Settings of the encoder, by kind" })),
    encoders: Type.Optional(
      Type.Array(Type.String(), { description: "What encoder of a request may name with this dictionary" }),
    ),
    default_budget: Type.Optional(
      Type.Unsafe<Static<typeof BudgetSchema>>({
        ...BudgetSchema,
        description: "Budget of a row that has none; any budget replaces it, {} too",
      }),
    ),
    max_atoms: Type.Optional(Type.Integer({ description: "Selections of one row at most" })),
    runtime: Type.Optional(oneOf(["cpu", "cuda"])),
    path: Type.Optional(oneOf([...PURSUIT_PATHS, "dense"])),
    runtime_state: Type.Optional(RuntimeStateSchema),
    sha256: Type.Optional(Type.String({ description: VERSION })),
    labels: Type.Boolean(),
    coherence: Type.Optional(
      Type.Object({
        max_cosine: Type.Union([Type.Number(), Type.Null()], {
          description: "Largest |cosine| of two atoms; null where m is too large",
        }),
        min_norm: Type.Number(),
        max_norm: Type.Number(),
      }),
    ),
    thresholds: Type.Optional(
      Type.Object(
        { min: Type.Number(), max: Type.Number() },
        { description: "Of its atoms; an atom is active above its own" },
      ),
    ),
    warnings: Type.Array(Type.String()),
    faults: Type.Array(Type.String(), { description: "Why it is failed" }),
    source: Type.Optional(
      Type.Object(
        {
          model: Type.Optional(Type.String()),
          layer: Type.Optional(Type.Integer()),
          hook: Type.Optional(Type.String({ description: "Where its rows are taken, as the publisher names it" })),
          hook_out: Type.Optional(Type.String({ description: "What a transcoder predicts" })),
        },
        { description: "Where rows come from, as far as provenance says" },
      ),
    ),
    registry: Type.Optional(
      Type.Object(
        {
          release: Type.Optional(Type.String()),
          id: Type.Optional(Type.String()),
          neuronpedia_id: Type.Optional(Type.String()),
          convention: Type.Optional(Type.String({ description: "Whose values it gives where libraries differ" })),
        },
        { description: "Its name in SAELens' registry, where it was pulled by it" },
      ),
    ),
    provenance: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { title: "Dictionary" },
);
export type DictionaryWire = Static<typeof DictionarySchema>;

export const DictionariesSchema = Type.Object(
  { dictionaries: Type.Array(DictionarySchema) },
  { title: "Dictionaries" },
);

/** `dictionaries`: those that do not answer though they should, and why. */
export const HealthSchema = Type.Object(
  {
    status: Type.String(),
    reason: Type.Optional(Type.String()),
    dictionaries: Type.Optional(
      Type.Array(
        Type.Object({
          id: Type.String(),
          state: Type.String(),
          runtime_state: Type.Optional(RuntimeStateSchema),
          faults: Type.Array(Type.String()),
        }),
      ),
    ),
  },
  { title: "Health" },
);
