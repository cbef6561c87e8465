import type { FastifyInstance } from "fastify";
import { type Contrast, divisionSteps, type FeatureCodes } from "../../engine/core/contrast.ts";
import type { FeatureLabel } from "../../engine/core/features.ts";
import { WireError } from "../../codecs/codec-error.ts";
import { readEncoder } from "../../codecs/read-encoder.ts";
import { bodyOf, fieldsValidator } from "../body.ts";
import { type AppOptions, contextOf } from "../request-context.ts";
import type { WirePool } from "../threads/pool.ts";
import {
  ContrastAnswerSchema,
  ContrastBodySchema,
  type ContrastFields,
  ContrastFieldsSchema,
  ContrastQuerySchema,
  LISTED,
  PERMUTATIONS,
} from "./contrast-schemas.ts";
import { bodySchemas, describeRoute } from "./describe-route.ts";
import { labelsOf, requestBudget } from "./request-fields.ts";

/** Steps of all divisions of one request at most: some seconds of one thread. */
const MOST_STEPS = 1e9;

/** POST /v1/dictionaries/{id}/contrast: two sets of rows or codes → the features that tell them apart. */
export function registerContrast(app: FastifyInstance, pool: WirePool, { engine, telemetry }: AppOptions): void {
  app.post<{ Params: { id: string } }>(
    "/v1/dictionaries/:id/contrast",
    {
      config: { body: "contrast", queues: true },
      schema: describeRoute({
        summary: "Features that tell two sets of rows apart",
        operationId: "contrast",
        id: true,
        body: bodySchemas(ContrastBodySchema, { rows: true, lines: false }),
        query: ContrastQuerySchema,
        answer: ContrastAnswerSchema,
        problems: [404, 409, 500, 504],
      }),
      validatorCompiler: fieldsValidator(ContrastFieldsSchema, ContrastBodySchema),
    },
    async (request, reply) => {
      const { id } = request.params;
      const { a, b, fields } = bodyOf(request, "contrast");
      const {
        budget,
        encoder,
        sort = "jensen_shannon",
        limit = LISTED,
        permutations,
        seed = 0,
        timeout_ms: timeoutMs,
      } = fields as ContrastFields;
      const chosen = readEncoder(encoder);
      const asked = { a, b, budget: requestBudget(budget), ...(chosen && { encoder: chosen }) };
      const sets = await engine.encodeSets(id, asked, contextOf(request, reply, engine, timeoutMs));

      const writing = performance.now();
      const made = divisions(sets.a, sets.b, permutations);
      const options = { sort, limit, permutations: made, seed };
      const found = await pool.contrast({ a: sets.a, b: sets.b, m: sets.m, options }, request.cancellation);
      const { labels } = engine.status(id);
      const indices = Uint32Array.from(found.features, ({ index }) => index);
      const known = labels ? labelsOf(engine, id, sets.sha256, indices) : null;
      telemetry.stage("write", request.span, writing);
      return {
        dictionary: id,
        sha256: sets.sha256,
        ...(sets.pursuit && { encoder: sets.pursuit }),
        a: setFigures(sets.a, found.active.a),
        b: setFigures(sets.b, found.active.b),
        ...contrastWire(found, { permutations: made, seed }, known),
      };
    },
  );
}

/**
 * Divisions that a comparison makes: as asked, or as many as its work allows.
 * @throws WireError PURSUIT_INVALID_FIELD where more are asked for
 */
function divisions(a: FeatureCodes, b: FeatureCodes, asked: number | undefined): number {
  const most = Math.floor(MOST_STEPS / divisionSteps(a, b));
  if (asked === undefined) return Math.min(PERMUTATIONS, most);
  if (asked <= most) return asked;
  const message = `permutations is ${asked}; sets with so many active features are divided ${most} times at most. Ask for fewer, or send fewer rows or a smaller budget.`;
  throw new WireError("PURSUIT_INVALID_FIELD", message);
}

const setFigures = ({ count, indices }: FeatureCodes, features: number) => ({
  rows: count,
  mean_atoms: six(indices.length / count),
  features,
});

function contrastWire(
  { active, overlap, chance, features }: Contrast,
  made: { readonly permutations: number; readonly seed: number },
  labels: readonly (FeatureLabel | null)[] | null,
) {
  return {
    features_in_both: active.both,
    overlap: overlap === null ? null : six(overlap),
    ...(chance && {
      chance: {
        ...made,
        overlap: rounded(chance.overlap),
        overlap_p_value: six(chance.overlapPValue),
        largest_jensen_shannon: rounded(chance.largestJensenShannon),
      },
    }),
    features: features.map(({ index, set, jensenShannon, pValue, averagePrecision, rate, mean }, k) => {
      const label = labels?.[k] ?? null;
      return {
        index,
        ...(label !== null && { label: label.text, label_source: label.source }),
        set,
        jensen_shannon: six(jensenShannon),
        ...(pValue !== undefined && { p_value: six(pValue) }),
        average_precision: six(averagePrecision),
        rate: rounded(rate),
        mean: rounded(mean),
      };
    }),
  };
}

/** To six digits: float32 has no more. */
const six = (figure: number): number => Number(figure.toPrecision(6));

const rounded = <T extends object>(figures: T): T =>
  Object.fromEntries(Object.entries(figures).map(([name, figure]) => [name, six(figure as number)])) as T;
