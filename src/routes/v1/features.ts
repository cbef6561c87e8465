import type { FastifyInstance } from "fastify";
import Type from "typebox";
import type { FeatureFacts } from "../../engine/core/dictionary.ts";
import { EngineError } from "../../engine/core/errors.ts";
import { describeRoute, textParameter } from "./describe-route.ts";
import { type AppOptions, contextOf } from "../request-context.ts";
import { FeatureSchema, FeaturesSchema } from "./dictionary-schemas.ts";
import { WireError } from "../../codecs/codec-error.ts";

/** Features found at most, and where the query does not say. */
const MOST_FOUND = 1000;
const FOUND = 20;

/** GET /v1/dictionaries/{id}/features?query= and /v1/dictionaries/{id}/features/{index}. */
export function registerFeatures(app: FastifyInstance, { engine }: AppOptions): void {
  app.get<{ Params: { id: string }; Querystring: { query: string; limit?: string } }>(
    "/v1/dictionaries/:id/features",
    {
      config: { loads: true },
      schema: describeRoute({
        summary: "Search features by label; words may be incomplete or misspelt",
        operationId: "searchFeatures",
        id: true,
        query: Type.Object(
          {
            query: Type.String({ minLength: 1, maxLength: 200 }),
            limit: Type.Optional(
              textParameter(`${FOUND} if not given`, Type.Integer({ minimum: 1, maximum: MOST_FOUND })),
            ),
          },
          { additionalProperties: false },
        ),
        answer: FeaturesSchema,
        problems: [404, 422],
      }),
    },
    (request) => {
      const { query, limit } = request.query;
      const found = engine.search(request.params.id, query, limit === undefined ? FOUND : limitOf(limit, MOST_FOUND));
      return { features: found.map(({ index, relevance, ...facts }) => ({ index, ...factsWire(facts), relevance })) };
    },
  );

  app.get<{ Params: { id: string; index: string } }>(
    "/v1/dictionaries/:id/features/:index",
    {
      config: { loads: true },
      schema: describeRoute({
        summary: "One feature: its label, norm and nearest atoms",
        operationId: "getFeature",
        id: true,
        params: { index: textParameter("0 to m − 1", Type.Integer({ minimum: 0 })) },
        answer: FeatureSchema,
        problems: [404, 500],
      }),
    },
    async (request, reply) => {
      const { id, index } = request.params;
      if (!/^\d{1,10}$/.test(index)) {
        const message = `${JSON.stringify(index)} is not the number of a feature.`;
        throw new EngineError("PURSUIT_FEATURE_NOT_FOUND", message);
      }
      const {
        index: number,
        norm,
        neighbours,
        ...facts
      } = await engine.feature(id, Number(index), contextOf(request, reply, engine));
      return {
        index: number,
        ...factsWire(facts),
        norm,
        neighbours: neighbours.map(({ text, ...neighbour }) => ({
          ...neighbour,
          ...(text !== undefined && { label: text }),
        })),
      };
    },
  );
}

const factsWire = ({ text, ...facts }: FeatureFacts) => ({ ...(text !== undefined && { label: text }), ...facts });

/** A query's limit on a list. @throws WireError PURSUIT_INVALID_FIELD */
export function limitOf(text: string, most: number): number {
  const limit = /^[1-9]\d{0,8}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= most) return limit;
  throw new WireError("PURSUIT_INVALID_FIELD", `limit must be an integer from 1 to ${most}.`);
}
