import type { FastifyInstance } from "fastify";
import type { Budget } from "../engine/budget.ts";
import { bodyOf, fieldsValidator } from "./body.ts";
import { explainedVariance } from "./explained-variance.ts";
import { contextOf } from "./request-context.ts";
import type { AppOptions } from "./route-options.ts";
import {
  type BudgetWire,
  EncodeAnswerSchema,
  EncodeBodySchema,
  type EncodeFields,
  EncodeFieldsSchema,
} from "./schemas.ts";
import { describeRoute } from "./describe-route.ts";
import { WireError } from "./wire/wire-error.ts";
import type { WirePool } from "./wire/wire-pool.ts";
import { certainBytes, checkAnswer, codesBytes, labelsBytes } from "./wire/write-codes.ts";

/** POST /v1/dictionaries/{id}/encode: rows → codes. */
export function registerEncode(app: FastifyInstance, pool: WirePool, { engine, limits, observer }: AppOptions): void {
  app.post<{ Params: { id: string } }>(
    "/v1/dictionaries/:id/encode",
    {
      config: { body: "encode", queues: true },
      schema: describeRoute({
        summary: "Rows to sparse codes",
        operationId: "encode",
        id: true,
        body: EncodeBodySchema,
        answer: EncodeAnswerSchema,
        problems: [400, 401, 404, 406, 408, 413, 415, 422, 429, 500, 503, 504],
      }),
      validatorCompiler: fieldsValidator(EncodeFieldsSchema),
    },
    async (request, reply) => {
      const { id } = request.params;
      const { rows, fields } = bodyOf(request, "encode");
      const {
        budget = {},
        format = "sparse",
        include = [],
        timeout_ms: timeoutMs,
        on_overload: onOverload,
      } = fields as EncodeFields;
      const reconstruction = include.includes("reconstruction");
      const { manifest, labels: labelled } = engine.status(id);
      const wantsLabels = include.includes("labels");
      if (wantsLabels && !labelled) engine.labels(id, new Uint32Array());
      if (wantsLabels && format === "dense") {
        throw new WireError(
          "PURSUIT_INVALID_FIELD",
          'include: labels stand beside indices, which format "dense" has none of.',
        );
      }
      if (manifest) checkAnswer(certainBytes(rows.count, manifest, format, reconstruction), limits.maxAnswer);

      const work = {
        rows,
        budget: Array.isArray(budget) ? budget.map(budgetOf) : budgetOf(budget),
        trace: include.includes("trace"),
        reconstruction,
        degrade: onOverload === "degrade",
      };
      const { codes, sha256, times } = await engine.encode(id, work, contextOf(request, reply, engine, timeoutMs));
      const labels = wantsLabels ? engine.labels(id, codes.indices) : null;
      checkAnswer(codesBytes(codes, format) + labelsBytes(labels), limits.maxAnswer);

      const writing = performance.now();
      const text = await pool.writeCodes(codes, {
        dictionary: id,
        sha256,
        format,
        shape: rows.shape.length > 2 ? rows.shape : null,
        d: rows.width,
        explainedVariance: explainedVariance(rows, codes),
        labels,
      });
      const done = performance.now();
      const stages = {
        decode: request.decodeMilliseconds,
        queue: times.queue,
        encode: times.encode,
        write: done - writing,
      };
      for (const [stage, milliseconds] of Object.entries(stages))
        observer.stage(stage as keyof typeof stages, milliseconds / 1000);
      return reply
        .type("application/json")
        .header("server-timing", serverTiming({ ...stages, total: done - request.started }))
        .send(text);
    },
  );
}

export function budgetOf({
  max_atoms: maxAtoms,
  tolerance,
  residual_norm: residualNorm,
  min_gain: minGain,
}: BudgetWire): Budget {
  return {
    ...(maxAtoms !== undefined && { maxAtoms }),
    ...(tolerance !== undefined && { tolerance }),
    ...(residualNorm !== undefined && { residualNorm }),
    ...(minGain !== undefined && { minGain }),
  };
}

/** Server-Timing (W3C), in milliseconds to the microsecond. */
export const serverTiming = (stages: Readonly<Record<string, number>>): string =>
  Object.entries(stages)
    .map(([name, milliseconds]) => `${name};dur=${milliseconds.toFixed(3)}`)
    .join(", ");
