import type { FastifyInstance } from "fastify";
import { checkRowNumbers, readEdits } from "../../engine/core/edits.ts";
import { bodyOf, fieldsValidator } from "../body.ts";
import { bodySchemas, describeRoute, ROWS_ANSWERS, SteerQuerySchema } from "./describe-route.ts";
import { requestBudget } from "./request-fields.ts";
import { answerOf, mediaOf } from "../media-types.ts";
import { type AppOptions, contextOf } from "../request-context.ts";
import { SteerAnswerSchema, SteerBodySchema, type SteerFields, SteerFieldsSchema } from "./steer-schemas.ts";
import { joinLayers } from "../../codecs/rows.ts";
import { readEncoder } from "../../codecs/read-encoder.ts";
import { WireError } from "../../codecs/codec-error.ts";
import type { WirePool } from "../threads/pool.ts";
import { checkAnswer, leastBytes, ROWS_TYPES } from "../../codecs/answers.ts";

/** POST /v1/dictionaries/{id}/steer: rows + edits → edited rows. */
export function registerSteer(app: FastifyInstance, pool: WirePool, options: AppOptions): void {
  const { engine, limits, telemetry } = options;
  app.post<{ Params: { id: string } }>(
    "/v1/dictionaries/:id/steer",
    {
      config: { body: "steer", queues: true, answers: ROWS_TYPES },
      schema: describeRoute({
        summary: "Edit rows by their features",
        operationId: "steer",
        id: true,
        body: bodySchemas(SteerBodySchema, { rows: true, lines: false }),
        query: SteerQuerySchema,
        answer: SteerAnswerSchema,
        answers: ROWS_ANSWERS,
        problems: [404, 409, 500, 504],
        tag: "steering",
      }),
      validatorCompiler: fieldsValidator(SteerFieldsSchema, SteerBodySchema),
    },
    async (request, reply) => {
      const { id } = request.params;
      const { rows: posted, fields } = bodyOf(request, "steer");
      const { set, budget, encoder, include = [], timeout_ms: timeoutMs, edits, rows: only } = fields as SteerFields;
      const chosen = readEncoder(encoder);
      if (edits === undefined && set === undefined) {
        throw new WireError("PURSUIT_INVALID_FIELD", 'The field edits is missing: give edits, a "set", or both.');
      }
      if (only !== undefined) checkRowNumbers(only, "rows");
      const as = request.answerType;
      const effect = include.includes("effect");
      if (effect && as !== "json") {
        const message = `include: the effect of edits is told in JSON; ${mediaOf(as)} holds the rows only.`;
        throw new WireError("PURSUIT_INVALID_FIELD", message);
      }
      const { manifest } = engine.status(id);
      const rows = manifest ? joinLayers(posted, manifest.layers, manifest.dIn) : posted;
      if (manifest) checkAnswer(leastBytes(rows.count * manifest.dOut, as), limits.maxAnswer);

      const work = {
        rows,
        budget: requestBudget(budget),
        ...(chosen && { encoder: chosen }),
        edits: edits === undefined ? [] : readEdits(edits),
        effect,
        ...(set !== undefined && { set }),
        ...(only !== undefined && { only }),
      };
      const { sha256, ...steered } = await engine.steer(id, work, contextOf(request, reply, engine, timeoutMs));

      const writing = performance.now();
      const shape = rows.shape.length > 2 ? rows.shape : null;
      const written =
        as === "json"
          ? await pool.writeSteered(steered, { dictionary: id, sha256, shape, set: set ?? null }, request.cancellation)
          : await pool.writeRows(steered.rows, as, request.cancellation);
      telemetry.stage("write", request.span, writing);
      return answerOf(reply, mediaOf(as), written);
    },
  );
}
