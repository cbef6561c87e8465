import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import Type from "typebox";
import { EngineError } from "../../engine/core/errors.ts";
import {
  type Feature,
  FEATURE_SORTS,
  type FeatureLabel,
  type FeatureSort,
  type FeatureSummary,
} from "../../engine/core/features.ts";
import { bodyOf, fieldsValidator } from "../body.ts";
import { answerOf } from "../media-types.ts";
import { type AppOptions, contextOf } from "../request-context.ts";
import { bodySchemas, describeRoute, FieldsQuerySchema, queryText, textParameter } from "./describe-route.ts";
import {
  ExamplesSchema,
  FeaturePageSchema,
  FeatureSchema,
  FoundFeaturesSchema,
  SearchBodySchema,
  SearchFieldsSchema,
} from "./feature-schemas.ts";
import { oneOf } from "./schemas.ts";
import { etagOf, isKnown } from "./entity-tags.ts";
import { checkAnswer, leastBytes } from "../../codecs/answers.ts";
import { WireError } from "../../codecs/codec-error.ts";
import { shortestFloats } from "../../codecs/write-codes.ts";

/** Features of a page at most, and where the query does not say. */
const MOST_LISTED = 1000;
const LISTED = 20;

interface ListQuery {
  query?: string;
  sort?: FeatureSort;
  order?: "asc" | "desc";
  limit?: string;
  after?: string;
}

/** Fields of a search whose row is the whole body. */
const SearchQuerySchema = Type.Object({
  dtype: FieldsQuerySchema.properties.dtype,
  rows: queryText("octet-stream: 1", Type.Integer({ minimum: 1, maximum: 1 })),
  n: queryText("Where the body is bytes. 20 if not given", Type.Integer({ minimum: 1, maximum: 1000 })),
});

/** Bytes of an array's numbers, as they lie in memory. */
const binary = (contentMediaType: string, description: string) =>
  Type.Unsafe<string>({ type: "string", contentMediaType, description });

/** GET /v1/dictionaries/{id}/features, /features/{index}, /map, /examples; POST /features/search. */
export function registerFeatures(app: FastifyInstance, { engine, limits }: AppOptions): void {
  app.get<{ Params: { id: string }; Querystring: ListQuery }>(
    "/v1/dictionaries/:id/features",
    {
      config: { loads: true },
      schema: describeRoute({
        summary: "List features, or search them by words; words may be incomplete or misspelt",
        operationId: "searchFeatures",
        id: true,
        query: Type.Object(
          {
            query: Type.Optional(
              Type.String({ minLength: 1, maxLength: 200, description: "Words, any of which may match" }),
            ),
            sort: Type.Optional(oneOf(FEATURE_SORTS, { description: "relevance with a query, else index" })),
            order: Type.Optional(
              oneOf(["asc", "desc"], { description: "asc for index and label, else desc; features without go last" }),
            ),
            limit: Type.Optional(
              textParameter(`${LISTED} if not given`, Type.Integer({ minimum: 1, maximum: MOST_LISTED })),
            ),
            after: Type.Optional(Type.String({ description: "`next` of the page before" })),
          },
          { additionalProperties: false },
        ),
        answer: FeaturePageSchema,
        problems: [404, 422, 500],
        conditional: true,
      }),
    },
    async (request, reply) => {
      const { limit: given, after: from = "0", ...query } = request.query;
      const limit = given === undefined ? LISTED : limitOf(given, MOST_LISTED);
      if (!/^\d{1,9}$/.test(from)) throw new WireError("PURSUIT_INVALID_FIELD", "after must be `next` of a page.");
      if (isUnchanged(request, reply, engine.featuresVersion(request.params.id))) return reply;
      const after = Number(from);
      const context = contextOf(request, reply, engine);
      const { features, total } = await engine.features(request.params.id, { ...query, limit, after }, context);
      const next = after + features.length;
      return { features: features.map(summaryWire), total, ...(next < total && { next: String(next) }) };
    },
  );

  app.get<{ Params: { id: string; index: string } }>(
    "/v1/dictionaries/:id/features/:index",
    {
      config: { loads: true },
      schema: describeRoute({
        summary: "One feature: its labels, statistics, examples and nearest atoms",
        operationId: "getFeature",
        id: true,
        params: { index: textParameter("0 to m − 1", Type.Integer({ minimum: 0 })) },
        answer: FeatureSchema,
        problems: [404, 500],
        conditional: true,
      }),
    },
    async (request, reply) => {
      const { id, index } = request.params;
      if (!/^\d{1,10}$/.test(index)) {
        const message = `${JSON.stringify(index)} is not the number of a feature.`;
        throw new EngineError("PURSUIT_FEATURE_NOT_FOUND", message);
      }
      if (isUnchanged(request, reply, engine.featuresVersion(id))) return reply;
      return featureWire(await engine.feature(id, Number(index), contextOf(request, reply, engine)));
    },
  );

  app.post<{ Params: { id: string } }>(
    "/v1/dictionaries/:id/features/search",
    {
      config: { body: "search", loads: true },
      schema: describeRoute({
        summary: "Features nearest to one row, or that match words",
        operationId: "findFeatures",
        id: true,
        body: bodySchemas(SearchBodySchema, { rows: true, lines: false }),
        query: SearchQuerySchema,
        answer: FoundFeaturesSchema,
        problems: [404, 500],
      }),
      validatorCompiler: fieldsValidator(SearchFieldsSchema, SearchBodySchema),
    },
    async (request, reply) => {
      const { id } = request.params;
      const { rows, fields } = bodyOf(request, "search");
      const { query, n: limit = LISTED } = fields as { query?: string; n?: number };
      const context = contextOf(request, reply, engine);
      if ((rows === null) === (query === undefined))
        throw new WireError("PURSUIT_INVALID_FIELD", "Give one row in inputs or words in query: one of the two.");
      if (rows === null) {
        const { features } = await engine.features(id, { query: query!, limit, after: 0 }, context);
        return { features: features.map(summaryWire) };
      }
      if (rows.count !== 1)
        throw new WireError("PURSUIT_INVALID_FIELD", `inputs holds ${rows.count} rows; features are sought for one.`);
      const found = await engine.nearestFeatures(id, rows, limit, context);
      return { features: found.map(({ cosine, ...summary }) => ({ ...summaryWire(summary), cosine })) };
    },
  );

  app.get<{ Params: { id: string } }>(
    "/v1/dictionaries/:id/map",
    {
      config: { loads: true, answers: ["octet-stream"] },
      schema: describeRoute({
        summary: "Coordinates of all atoms on a plane, near atoms near each other",
        operationId: "getMap",
        id: true,
        contentType: "application/octet-stream",
        answer: binary("application/octet-stream", "[m, 2] float32, row-major and little-endian"),
        problems: [404],
        conditional: true,
      }),
    },
    async (request, reply) => {
      const { id } = request.params;
      const map = await engine.map(id);
      if (isUnchanged(request, reply, engine.featuresVersion(id))) return reply;
      return answerOf(reply, "application/octet-stream", octetsOf(map));
    },
  );

  app.get<{ Params: { id: string } }>(
    "/v1/dictionaries/:id/examples",
    {
      config: { loads: true, answers: ["json", "octet-stream"] },
      schema: describeRoute({
        summary: "Held-out rows to try, with their texts",
        operationId: "getExamples",
        id: true,
        answer: ExamplesSchema,
        answers: {
          "application/octet-stream": binary(
            "application/octet-stream",
            "The rows [n, d_in] float32, row-major and little-endian",
          ),
        },
        problems: [404, 413],
      }),
    },
    async (request, reply) => {
      const { rows, texts } = await engine.examples(request.params.id);
      checkAnswer(leastBytes(rows.data.length, "json"), limits.maxAnswer);
      if (request.answerType === "octet-stream")
        return answerOf(reply, "application/octet-stream", octetsOf(rows.data));
      const inputs = texts.map((_, i) => shortestFloats(rows.data.subarray(i * rows.width, (i + 1) * rows.width)));
      return answerOf(reply, "application/json", JSON.stringify({ inputs, texts }));
    },
  );
}

/** Sets the entity tag; answers 304 where the client has that version already. */
function isUnchanged({ headers }: FastifyRequest, reply: FastifyReply, version: string): boolean {
  void reply.header("etag", etagOf(version));
  if (!isKnown(headers, version)) return false;
  void reply.code(304).send();
  return true;
}

const octetsOf = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
  Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);

const shownLabel = (label: FeatureLabel | undefined): { label?: string; label_source?: string } =>
  label === undefined ? {} : { label: label.text, label_source: label.source };

const summaryWire = ({ label, ...summary }: FeatureSummary) => ({
  ...summary,
  ...shownLabel(label),
  ...(label?.score !== undefined && { label_score: label.score }),
});

function featureWire(feature: Feature) {
  const { labels, neighbours, firesWith, firesWithLabels = [], statistics, ...shown } = feature;
  const [best] = labels;
  const rate = statistics?.rate ?? shown.rate;
  return {
    ...shown,
    ...shownLabel(best),
    ...(best?.score !== undefined && { score: best.score }),
    ...(rate !== undefined && { rate }),
    labels,
    ...(statistics && { statistics }),
    neighbours: neighbours.map(({ label, ...neighbour }) => ({ ...neighbour, ...shownLabel(label) })),
    ...(firesWith && {
      fires_with: firesWith.map((other, i) => ({ ...other, ...shownLabel(firesWithLabels[i]) })),
    }),
  };
}

/** A query's limit on a list. @throws WireError PURSUIT_INVALID_FIELD */
export function limitOf(text: string, most: number): number {
  const limit = /^[1-9]\d{0,8}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= most) return limit;
  throw new WireError("PURSUIT_INVALID_FIELD", `limit must be an integer from 1 to ${most}.`);
}
