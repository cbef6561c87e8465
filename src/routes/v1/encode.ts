import { setMaxListeners } from "node:events";
import type { FastifyInstance } from "fastify";
import { answerLines } from "./answer-lines.ts";
import { bodyOf, fieldsValidator, isLines } from "../body.ts";
import { bodySchemas, CODES_ANSWERS, describeRoute, FieldsQuerySchema } from "./describe-route.ts";
import { checkLabels, correlationsOf, labelsOf, requestBudget } from "./request-fields.ts";
import { answerOf, mediaOf } from "../media-types.ts";
import { type AppOptions, contextOf } from "../request-context.ts";
import { EncodeAnswerSchema, EncodeBodySchema, type EncodeFields, EncodeFieldsSchema } from "./schemas.ts";
import type { WirePool } from "../threads/pool.ts";
import {
  certainBytes,
  checkAnswer,
  checkFormat,
  CODES_TYPES,
  type CodesType,
  defaultFormat,
} from "../../codecs/answers.ts";
import { joinLayers } from "../../codecs/rows.ts";
import { readEncoder } from "../../codecs/read-encoder.ts";
import type { UnreadAnswers } from "../unread-answers.ts";

/** POST /v1/dictionaries/{id}/encode: rows → codes. */
export function registerEncode(app: FastifyInstance, pool: WirePool, unread: UnreadAnswers, options: AppOptions): void {
  const { engine, limits, telemetry } = options;
  const closing = new AbortController();
  // One for each stream.
  setMaxListeners(0, closing.signal);
  app.addHook("preClose", async () => closing.abort());
  app.post<{ Params: { id: string } }>(
    "/v1/dictionaries/:id/encode",
    {
      config: { body: "encode", lines: true, queues: true, answers: CODES_TYPES },
      schema: describeRoute({
        summary: "Rows to sparse codes",
        operationId: "encode",
        id: true,
        body: bodySchemas(EncodeBodySchema, { rows: true, lines: true }),
        query: FieldsQuerySchema,
        answer: EncodeAnswerSchema,
        answers: CODES_ANSWERS,
        problems: [404, 409, 500, 504],
      }),
      validatorCompiler: fieldsValidator(EncodeFieldsSchema, EncodeBodySchema),
    },
    async (request, reply) => {
      const { id } = request.params;
      if (isLines(request.body))
        return answerLines(id, request.body, request, reply, pool, unread, options, closing.signal);
      const { rows: posted, targets: wanted, fields } = bodyOf(request, "encode");
      const { budget, encoder, include = [], timeout_ms: timeoutMs, on_overload: onOverload } = fields as EncodeFields;
      const chosen = readEncoder(encoder);
      const as = request.answerType as CodesType;
      const { format = defaultFormat(as) } = fields as EncodeFields;
      const reconstruction = include.includes("reconstruction");
      const { manifest, labels: labelled } = engine.status(id);
      const rows = manifest ? joinLayers(posted, manifest.layers, manifest.dIn) : posted;
      const targets = manifest && wanted ? joinLayers(wanted, manifest.layers, manifest.dOut) : wanted;
      const wantsLabels = include.includes("labels");
      if (wantsLabels) checkLabels(engine, id, labelled, format);
      const correlations = correlationsOf(fields, manifest);
      checkFormat(format, as);
      if (manifest) {
        const shape = { d: manifest.dOut, m: manifest.m };
        const parts = { format, reconstruction, ...(correlations !== undefined && { correlations }) };
        checkAnswer(certainBytes(rows.count, shape, parts, as), limits.maxAnswer);
      }

      const work = {
        rows,
        ...(targets && { targets }),
        budget: requestBudget(budget),
        trace: include.includes("trace"),
        reconstruction,
        ...(correlations !== undefined && { correlations }),
        typicality: include.includes("typicality"),
        summary: include.includes("summary"),
        ...(chosen && { encoder: chosen }),
        degrade: onOverload === "degrade",
      };
      const { codes, totalVariance, warning, sha256, pursuit } = await engine.encode(
        id,
        work,
        contextOf(request, reply, engine, timeoutMs),
      );
      const labels = wantsLabels ? labelsOf(engine, id, sha256, codes.indices) : null;

      const writing = performance.now();
      const head = {
        dictionary: id,
        sha256,
        ...(pursuit && { encoder: pursuit }),
        ...(warning && { warning }),
        format,
        shape: rows.shape.length > 2 ? rows.shape : null,
        totalVariance,
        labels,
      };
      const answer = await pool.writeCodes(codes, head, as, request.cancellation);
      telemetry.stage("write", request.span, writing);
      return answerOf(reply, mediaOf(as), answer);
    },
  );
}
