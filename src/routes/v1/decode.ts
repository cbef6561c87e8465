import type { FastifyInstance } from "fastify";
import { bodyOf, fieldsValidator } from "../body.ts";
import { bodySchemas, describeRoute, ROWS_ANSWERS } from "./describe-route.ts";
import { answerOf, mediaOf } from "../media-types.ts";
import { type AppOptions, contextOf } from "../request-context.ts";
import { WireError } from "../../codecs/codec-error.ts";
import { DecodeAnswerSchema, DecodeBodySchema, type DecodeFields, DecodeFieldsSchema } from "./schemas.ts";
import { checkAnswer, leastBytes, ROWS_TYPES } from "../../codecs/answers.ts";
import type { WirePool } from "../threads/pool.ts";

/** POST /v1/dictionaries/{id}/decode: codes → rows. */
export function registerDecode(app: FastifyInstance, pool: WirePool, options: AppOptions): void {
  const { engine, limits, telemetry } = options;
  app.post<{ Params: { id: string } }>(
    "/v1/dictionaries/:id/decode",
    {
      config: { body: "decode", loads: true, answers: ROWS_TYPES },
      schema: describeRoute({
        summary: "Sparse codes to rows",
        operationId: "decode",
        id: true,
        body: bodySchemas(DecodeBodySchema, { rows: false, lines: false }),
        answer: DecodeAnswerSchema,
        answers: ROWS_ANSWERS,
        problems: [404, 500],
      }),
      validatorCompiler: fieldsValidator(DecodeFieldsSchema, DecodeBodySchema),
    },
    async (request, reply) => {
      const { id } = request.params;
      const { codes, fields } = bodyOf(request, "decode");
      const { sha256: made, group } = fields as DecodeFields;
      const { manifest, sha256 } = engine.status(id);
      checkVersion(made, sha256);
      const as = request.answerType;
      if (manifest) checkAnswer(leastBytes(codes.count * manifest.dOut, as), limits.maxAnswer);
      const rows = await engine.decode(
        id,
        { ...codes, ...(group !== undefined && { group }) },
        contextOf(request, reply, engine),
      );

      const writing = performance.now();
      const written = await pool.writeRows(rows, as, request.cancellation);
      telemetry.stage("write", request.span, writing);
      return answerOf(reply, mediaOf(as), written);
    },
  );
}

/** Codes that come with the version that made them must be of the one that decodes them. */
function checkVersion(made: string | undefined, served: string | undefined): void {
  if (made === undefined || served === undefined || made === served) return;
  const message = `sha256 says that the codes were made by version ${made.slice(0, 64)}; the dictionary is version ${served} now. Encode the rows again, or leave sha256 out to decode them as they are.`;
  throw new WireError("PURSUIT_INVALID_CODE", message);
}
