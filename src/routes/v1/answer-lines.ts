import type { FastifyReply, FastifyRequest } from "fastify";
import type { DictionaryStatus } from "../../engine/engine.ts";
import { EngineError } from "../../engine/core/errors.ts";
import type { LinesBody } from "../body.ts";
import { budgetOf, checkLabels, correlationsOf, encodeAsRead, labelsOf, replaced } from "./request-fields.ts";
import { problemOf } from "../error-handler.ts";
import { PROBLEMS } from "../problem.ts";
import { mediaOf } from "../media-types.ts";
import { type AppOptions, contextOf } from "../request-context.ts";
import type { BudgetWire, EncodeFields } from "./schemas.ts";
import { streamEncode } from "./stream-encode.ts";
import { checkFormat } from "../../codecs/answers.ts";
import { readEncoder } from "../../codecs/read-encoder.ts";
import { WireError } from "../../codecs/codec-error.ts";
import type { WirePool } from "../threads/pool.ts";
import type { UnreadAnswers } from "../unread-answers.ts";

/** Lines of one group at most, and bytes of their answers. */
const GROUP_LINES = 512;
const GROUP_ANSWER_BYTES = 4 << 20;

/** Bytes of JSON that an entry of a code and of a trace, a zero and a number of a reconstruction take, about. */
const ENTRY_BYTES = 24;
const TRACED_BYTES = 40;
const ZERO_BYTES = 2;
const NUMBER_BYTES = 14;

/** An encode request of lines: the answer is a line for each, as they come. */
export async function answerLines(
  id: string,
  body: LinesBody,
  request: FastifyRequest,
  reply: FastifyReply,
  pool: WirePool,
  unread: UnreadAnswers,
  { engine, limits }: AppOptions,
  closing: AbortSignal,
): Promise<FastifyReply> {
  const fields = body.fields as EncodeFields;
  const { budget, encoder, format = "sparse", include = [], timeout_ms: timeoutMs } = fields;
  const chosen = readEncoder(encoder);
  const degrade = fields.on_overload === "degrade";
  if (Array.isArray(budget)) {
    throw new WireError(
      "PURSUIT_INVALID_FIELD",
      'budget in the query is one for all lines; a line brings its own as {"input", "budget"}.',
    );
  }
  if (include.includes("summary")) {
    throw new WireError(
      "PURSUIT_INVALID_FIELD",
      "include: summary is over all rows of an answer, which lines do not wait for. Leave it out, or send the rows as one body.",
    );
  }
  const trace = include.includes("trace");
  const reconstruction = include.includes("reconstruction");
  const wantsLabels = include.includes("labels");
  const status = engine.status(id);
  if (wantsLabels) checkLabels(engine, id, status.labels, format);
  checkFormat(format, "ndjson");
  const { manifest } = status;
  if (manifest === undefined) throw new EngineError("PURSUIT_NOT_READY", `Dictionary ${id} is not loaded.`);

  const correlations = correlationsOf(fields, manifest) ?? 0;
  const context = contextOf(request, reply, engine);
  const answerBytes = lineBytes(status, budget, { dense: format === "dense", trace, reconstruction, correlations });
  let version: string | undefined;
  const answer = await streamEncode({
    body,
    request: request.raw,
    response: reply.raw,
    context,
    pool,
    width: manifest.dIn,
    groupLines: Math.max(1, Math.min(GROUP_LINES, Math.floor(GROUP_ANSWER_BYTES / answerBytes))),
    answerBytes,
    patience: limits,
    unread,
    answer: unread.open(request, reply),
    closing,
    maxWaiting: limits.streamBuffer,
    onFailure: (error) => {
      const isOurs = PROBLEMS[problemOf(error as Error).code].status >= 500;
      request.log[isOurs ? "warn" : "debug"]({ err: error }, "A stream of lines ended early.");
    },
    encoder: {
      budget: budget === undefined ? null : budgetOf(budget),
      head: { format },
      labels: wantsLabels ? ({ codes, sha256 }) => labelsOf(engine, id, sha256, codes.indices) : null,
      encoder: chosen,
      async encode(rows, budgets, by) {
        const deadline = timeoutMs === undefined ? {} : { deadline: engine.now() + timeoutMs };
        const work = {
          rows,
          budget: budgets,
          trace,
          reconstruction,
          ...(correlations > 0 && { correlations }),
          typicality: include.includes("typicality"),
          degrade,
          ...(by && { encoder: by }),
        };
        const encoded = await encodeAsRead(engine, status, work, { ...context, ...deadline });
        // A line does not name the version that made it, so one version makes all lines of a stream.
        version ??= encoded.sha256;
        if (encoded.sha256 !== version) throw replaced(id);
        return encoded;
      },
      write: (codes, head, lines) => pool.writeLines(codes, head, lines, context.cancellation),
    },
  });
  return reply.type(mediaOf("ndjson")).send(answer);
}

/** Bytes that the answer to a line takes at most, about. */
function lineBytes(
  { manifest, maxAtoms = 4096 }: DictionaryStatus,
  budget: BudgetWire | undefined,
  {
    dense,
    trace,
    reconstruction,
    correlations,
  }: { dense: boolean; trace: boolean; reconstruction: boolean; correlations: number },
): number {
  const asked = budget === undefined ? manifest!.defaultBudget?.maxAtoms : budget.max_atoms;
  const atoms = Math.min(asked ?? maxAtoms, maxAtoms);
  const entries = atoms * (ENTRY_BYTES + (trace ? TRACED_BYTES : 0)) + correlations * ENTRY_BYTES;
  return 1 + entries + (dense ? manifest!.m * ZERO_BYTES : 0) + (reconstruction ? manifest!.dOut * NUMBER_BYTES : 0);
}
