import type { FastifyInstance } from "fastify";
import Type from "typebox";
import { bodyOf, fieldsValidator } from "../body.ts";
import { bodySchemas, describeRoute, FieldsQuerySchema } from "./describe-route.ts";
import { requestBudget } from "./request-fields.ts";
import { answerOf } from "../media-types.ts";
import { type AppOptions, contextOf } from "../request-context.ts";
import { TransferAnswerSchema, TransferBodySchema, type TransferFields, TransferFieldsSchema } from "./schemas.ts";
import { checkAnswer, codesAnswerBytes, leastBytes, rowsAnswerBytes } from "../../codecs/answers.ts";
import { readEncoder } from "../../codecs/read-encoder.ts";
import type { WirePool } from "../threads/pool.ts";

const TransferQuerySchema = Type.Object({
  from: Type.Optional(Type.String({ description: "This and the others where the body is bytes" })),
  to: Type.Optional(Type.String()),
  ...Type.Omit(FieldsQuerySchema, ["format", "on_overload"]).properties,
});

/** POST /v1/transfer: rows of one dictionary → rows of another over the same atoms. */
export function registerTransfer(app: FastifyInstance, pool: WirePool, options: AppOptions): void {
  const { engine, limits, telemetry } = options;
  app.post(
    "/v1/transfer",
    {
      config: { body: "encode" },
      schema: describeRoute({
        summary: "Encode rows with one dictionary and decode them with another",
        operationId: "transfer",
        body: bodySchemas(TransferBodySchema, { rows: true, lines: false }),
        query: TransferQuerySchema,
        answer: TransferAnswerSchema,
        problems: [404, 500, 504],
      }),
      validatorCompiler: fieldsValidator(TransferFieldsSchema, TransferBodySchema),
    },
    async (request, reply) => {
      const { rows, fields } = bodyOf(request, "encode");
      const {
        from,
        to,
        budget,
        encoder = "orthogonal",
        include = [],
        timeout_ms: timeoutMs,
      } = fields as TransferFields;
      engine.status(from);
      const target = engine.status(to);
      if (target.manifest) checkAnswer(leastBytes(rows.count * target.manifest.dOut, "json"), limits.maxAnswer);
      const chosen = readEncoder(encoder);
      const work = {
        from,
        to,
        rows,
        budget: requestBudget(budget),
        ...(chosen && { encoder: chosen }),
        summary: include.includes("summary"),
      };
      const { outputs, codes, totalVariance, sha256, pursuit, inputNorm } = await engine.transfer(
        work,
        contextOf(request, reply, engine, timeoutMs),
      );

      const writing = performance.now();
      const head = {
        dictionary: from,
        sha256: sha256.from,
        ...(pursuit && { encoder: pursuit }),
        format: "sparse" as const,
        shape: rows.shape.length > 2 ? rows.shape : null,
        totalVariance,
        labels: null,
      };
      checkAnswer(rowsAnswerBytes(outputs, "json") + codesAnswerBytes(codes, head, "json"), limits.maxAnswer);
      const [made, coded] = await Promise.all([
        pool.writeRows(outputs, "json", request.cancellation),
        pool.writeCodes(codes, head, "json", request.cancellation),
      ]);
      const about = JSON.stringify({ dictionary: to, sha256: sha256.to, input_norm: inputNorm });
      // Both are objects of their own: the first loses its closing brace, and the second becomes a field of it.
      const answer = Buffer.concat([
        Buffer.from(made).subarray(0, -1),
        Buffer.from(`,"to":${about},"from":`),
        Buffer.from(coded),
        Buffer.from("}"),
      ]);
      telemetry.stage("write", request.span, writing);
      return answerOf(reply, "application/json", answer);
    },
  );
}
