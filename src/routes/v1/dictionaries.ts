import type { FastifyInstance } from "fastify";
import type { DictionaryStatus } from "../../engine/engine.ts";
import { snakeCase } from "../../engine/core/json-object.ts";
import { describeRoute } from "./describe-route.ts";
import type { AppOptions } from "../route-options.ts";
import { DictionariesSchema, DictionarySchema, type DictionaryWire } from "./schemas.ts";

/** GET /v1/dictionaries and /v1/dictionaries/{id}. */
export function registerDictionaries(app: FastifyInstance, { engine }: AppOptions): void {
  app.get(
    "/v1/dictionaries",
    {
      schema: describeRoute({
        summary: "All dictionaries, broken ones included",
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
    warnings: [...warnings],
    faults: [...faults],
    ...(manifest && { provenance: manifest.provenance }),
  };
}
