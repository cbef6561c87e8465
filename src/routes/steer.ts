import type { FastifyInstance } from "fastify";
import { checkRowNumbers, readEdits } from "../engine/read-edits.ts";
import { bodyOf, fieldsValidator } from "./body.ts";
import { bodySchemas } from "./body-schemas.ts";
import { describeRoute } from "./describe-route.ts";
import { budgetOf } from "./budget-of.ts";
import { serverTiming } from "./encode.ts";
import { contextOf } from "./request-context.ts";
import type { AppOptions } from "./route-options.ts";
import { SteerAnswerSchema, SteerBodySchema, type SteerFields, SteerFieldsSchema } from "./steer-schemas.ts";
import { WireError } from "./wire/wire-error.ts";
import type { WirePool } from "./wire/wire-pool.ts";
import { checkAnswer, leastBytes } from "./wire/answer-size.ts";
import { steeredBytes } from "./wire/write-steered.ts";

/** POST /v1/dictionaries/{id}/steer: rows + edits → edited rows. */
export function registerSteer(app: FastifyInstance, pool: WirePool, { engine, limits, observer }: AppOptions): void {
  app.post<{ Params: { id: string } }>(
    "/v1/dictionaries/:id/steer",
    {
      config: { body: "steer", queues: true },
      schema: describeRoute({
        summary: "Rows edited by their features",
        operationId: "steer",
        id: true,
        body: bodySchemas(SteerBodySchema, { rows: false, lines: false }),
        answer: SteerAnswerSchema,
        problems: [400, 401, 404, 406, 408, 409, 413, 415, 422, 429, 500, 503, 504],
        tag: "steering",
      }),
      validatorCompiler: fieldsValidator(SteerFieldsSchema),
    },
    async (request, reply) => {
      const { id } = request.params;
      const { rows, fields } = bodyOf(request, "steer");
      const { set, budget = {}, include = [], timeout_ms: timeoutMs, edits, rows: only } = fields as SteerFields;
      if (edits === undefined && set === undefined) {
        throw new WireError("PURSUIT_INVALID_FIELD", 'The field edits is missing: give edits, a "set", or both.');
      }
      if (only !== undefined) checkRowNumbers(only, "rows");
      const { manifest } = engine.status(id);
      if (manifest) checkAnswer(leastBytes(rows.count * manifest.d, "json"), limits.maxAnswer);

      const work = {
        rows,
        budget: Array.isArray(budget) ? budget.map(budgetOf) : budgetOf(budget),
        edits: edits === undefined ? [] : readEdits(edits),
        effect: include.includes("effect"),
        ...(set !== undefined && { set }),
        ...(only !== undefined && { only }),
      };
      const { sha256, times, ...steered } = await engine.steer(id, work, contextOf(request, reply, engine, timeoutMs));
      checkAnswer(steeredBytes(steered, set ?? null), limits.maxAnswer);

      const writing = performance.now();
      const shape = rows.shape.length > 2 ? rows.shape : null;
      const text = await pool.writeSteered(steered, { dictionary: id, sha256, shape, set: set ?? null });
      const done = performance.now();
      const stages = { decode: request.decodeMilliseconds, ...times, write: done - writing };
      for (const [stage, milliseconds] of Object.entries(stages))
        observer.stage(stage as keyof typeof stages, milliseconds / 1000);
      return reply
        .type("application/json")
        .header("server-timing", serverTiming({ ...stages, total: done - request.started }))
        .send(text);
    },
  );
}
