import type { FastifyInstance } from "fastify";
import type { Provenance } from "../../engine/core/dictionary.ts";
import type { DictionaryStatus } from "../../engine/engine.ts";
import { snakeCase } from "../../engine/core/json-object.ts";
import { describeRoute } from "./describe-route.ts";
import type { AppOptions } from "../request-context.ts";
import { DictionariesSchema, DictionarySchema, type DictionaryWire } from "./dictionary-schemas.ts";

/** GET /v1/dictionaries and /v1/dictionaries/{id}. */
export function registerDictionaries(app: FastifyInstance, { engine }: AppOptions): void {
  app.get(
    "/v1/dictionaries",
    {
      schema: describeRoute({
        summary: "List all dictionaries, including failed ones",
        operationId: "listDictionaries",
        answer: DictionariesSchema,
      }),
    },
    () => ({ dictionaries: engine.list().map(toWire) }),
  );

  app.get<{ Params: { id: string } }>(
    "/v1/dictionaries/:id",
    {
      schema: describeRoute({
        summary: "One dictionary",
        operationId: "getDictionary",
        id: true,
        answer: DictionarySchema,
        problems: [404],
      }),
    },
    (request) => toWire(engine.status(request.params.id)),
  );
}

function toWire({
  manifest,
  encoders = [],
  coherence,
  thresholds,
  chosen,
  maxAtoms,
  sha256,
  runtimeState,
  ...status
}: DictionaryStatus): DictionaryWire {
  const { id, state, labels, warnings, faults } = status;
  return {
    id,
    state,
    ...(manifest && {
      kind: manifest.kind,
      role: manifest.role,
      d: manifest.dIn,
      d_in: manifest.dIn,
      d_out: manifest.dOut,
      m: manifest.m,
      ...(manifest.layers !== undefined && { layers: manifest.layers }),
      ...(manifest.blocks && { blocks: manifest.blocks.map((block) => ({ ...block, writes: [...block.writes] })) }),
      ...(manifest.groups && { groups: [...manifest.groups] }),
      encoder: snakeCase(manifest.encoder) as NonNullable<DictionaryWire["encoder"]>,
      encoders: [...encoders],
      ...(manifest.defaultBudget && { default_budget: snakeCase(manifest.defaultBudget) }),
    }),
    ...(maxAtoms !== undefined && { max_atoms: maxAtoms }),
    ...chosen,
    ...(runtimeState !== undefined && { runtime_state: runtimeState }),
    ...(sha256 !== undefined && { sha256 }),
    labels,
    ...(coherence && {
      coherence: { max_cosine: coherence.maxCosine, min_norm: coherence.minNorm, max_norm: coherence.maxNorm },
    }),
    ...(thresholds && { thresholds }),
    warnings: [...warnings],
    faults: [...faults],
    ...(manifest && { ...originOf(manifest.provenance), provenance: manifest.provenance }),
  };
}

/** Where rows come from and which published dictionary it is, as far as the provenance says so in the words of import and pull. */
function originOf(provenance: Provenance): Pick<DictionaryWire, "source" | "registry"> {
  const text = (...keys: readonly string[]): string | undefined =>
    keys.map((key) => provenance[key]).find((value) => typeof value === "string");
  const source = defined({
    model: text("model_name", "model"),
    layer: ["layer", "hook_layer"].map((key) => provenance[key]).find(Number.isInteger) as number | undefined,
    hook: text("hook_name"),
    hook_out: text("hook_name_out"),
  });
  const registry = defined({
    release: text("release"),
    id: text("sae_id"),
    neuronpedia_id: text("neuronpedia_id"),
    convention: text("convention"),
  });
  return { ...(source && { source }), ...(registry?.release !== undefined && { registry }) };
}

/** An object without its undefined values; undefined where none is left. */
function defined<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } | undefined {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as { [K in keyof T]?: NonNullable<T[K]> });
}
