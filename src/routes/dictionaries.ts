import type { FastifyInstance } from "fastify";
import Type from "typebox";
import type { DictionaryStatus } from "../engine/engine.ts";
import { snakeCase } from "../engine/snake-case.ts";
import { EngineError } from "../engine/errors.ts";
import { describeRoute } from "./describe-route.ts";
import { contextOf } from "./request-context.ts";
import type { AppOptions } from "./route-options.ts";
import { DictionariesSchema, DictionarySchema, type DictionaryWire, FeatureSchema } from "./schemas.ts";

/** GET /v1/dictionaries, /v1/dictionaries/{id} and /v1/dictionaries/{id}/features/{index}. */
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

  app.get<{ Params: { id: string; index: string } }>(
    "/v1/dictionaries/:id/features/:index",
    {
      schema: describeRoute({
        summary: "One feature: its norm and nearest atoms",
        operationId: "getFeature",
        id: true,
        params: { index: Type.String({ description: "0 to m − 1" }) },
        answer: FeatureSchema,
        problems: [404, 500, 503],
      }),
    },
    (request, reply) => {
      const { id, index } = request.params;
      if (!/^\d{1,10}$/.test(index)) {
        engine.status(id);
        throw new EngineError(
          "PURSUIT_FEATURE_NOT_FOUND",
          `A feature is named by its number; ${JSON.stringify(index)} is none.`,
        );
      }
      return engine.feature(id, Number(index), contextOf(request, reply, engine));
    },
  );
}

function toWire({ manifest, coherence, chosen, maxAtoms, sha256, ...status }: DictionaryStatus): DictionaryWire {
  const { id, state, labels, warnings, faults } = status;
  return {
    id,
    state,
    ...(manifest && {
      kind: manifest.kind,
      d: manifest.d,
      m: manifest.m,
      encoder: snakeCase(manifest.encoder) as NonNullable<DictionaryWire["encoder"]>,
    }),
    ...(maxAtoms !== undefined && { max_atoms: maxAtoms }),
    ...chosen,
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
