import type { FastifyInstance, FastifyRequest } from "fastify";
import { EngineError } from "../../engine/core/errors.ts";
import { problemOf, reportProblem } from "../error-handler.ts";
import { holdBody } from "../body.ts";
import { admitWhenLoaded } from "../hooks.ts";
import { inflaterFor } from "../codings.ts";
import type { Intake } from "../intake.ts";
import type { AppOptions } from "../request-context.ts";
import { WireError } from "../../codecs/codec-error.ts";
import type { WirePool } from "../threads/pool.ts";
import { inferRoute } from "./infer-route.ts";
import { InferStatistics } from "./infer-statistics.ts";
import { modelRoutes } from "./model-routes.ts";
import { repositoryRoutes } from "./repository-routes.ts";
import { addV2Route, sendJson, sendV2Error, type V2Route, VERSION } from "./v2-route.ts";
import Type from "typebox";

/**
 * The Open Inference Protocol under /v2, with Triton's and KServe's extensions: a separate Fastify scope, because its
 * errors, content types and refusals differ from those of /v1.
 */
export async function registerV2(
  app: FastifyInstance,
  pool: WirePool,
  intake: Intake,
  options: AppOptions,
): Promise<void> {
  await app.register(
    async (v2) => {
      readBodies(v2, intake);
      answerFaults(v2);
      checkHeads(v2, options);
      const statistics = new InferStatistics();
      const routes = [
        ...serverRoutes(options),
        ...modelRoutes(options, statistics),
        inferRoute(options, pool, statistics),
        ...repositoryRoutes(options.engine),
      ];
      for (const route of routes) addV2Route(v2, route);
    },
    { prefix: "/v2" },
  );
}

/** Content types of bodies: JSON, and JSON followed by binary tensors. */
const BODY_TYPES = ["application/json", "application/octet-stream"];

/**
 * Refuses a body of another type, such as text/plain, which web pages send without a preflight. tritonclient sends
 * none.
 */
function checkContentType({ headers }: FastifyRequest): void {
  const given = headers["content-type"];
  const isEmpty = headers["content-length"] === "0" || !("content-length" in headers || "transfer-encoding" in headers);
  if (given === undefined || isEmpty) return;
  if (BODY_TYPES.includes(given.split(";")[0]!.trim().toLowerCase())) return;
  const message = `This route takes no ${given.slice(0, 100)}: send ${BODY_TYPES.join(" or ")}.`;
  throw new WireError("PURSUIT_UNSUPPORTED_MEDIA_TYPE", message);
}

/** Bodies as bytes. */
function readBodies(v2: FastifyInstance, intake: Intake): void {
  v2.removeAllContentTypeParsers();
  v2.addContentTypeParser("*", async (request: FastifyRequest) => {
    checkContentType(request);
    const { bytes, claim } = await intake.read(request.raw, inflaterFor(request.headers["content-encoding"]));
    holdBody(request, claim);
    return bytes;
  });
}

function answerFaults(v2: FastifyInstance): void {
  v2.setErrorHandler((error: Error, request, reply) => {
    const problem = problemOf(error);
    reportProblem(error, problem, request, reply);
    // Not returned: see answerOf (media-types.ts).
    void sendV2Error(reply, problem);
  });
  // Gives unknown paths below /v2 the error handler above; routes/error-handler.ts refuses them before this one runs.
  v2.setNotFoundHandler(() => {});
}

/** Before the body: nobody should send 64 MiB to learn that the name was misspelt. */
function checkHeads(v2: FastifyInstance, { engine }: AppOptions): void {
  let closing = false;
  v2.addHook("preClose", async () => {
    closing = true;
  });
  v2.addHook("onRequest", (request, reply, next) => {
    if (closing && request.method === "POST") {
      throw new EngineError("PURSUIT_DRAINING", "The server is shutting down; ask another one.", { retryAfter: 1 });
    }
    const { model, version } = request.params as { readonly model?: string; readonly version?: string };
    if (model !== undefined) engine.status(model);
    if (version !== undefined && version !== VERSION) {
      const message = `Dictionary ${model} has version ${VERSION} only.`;
      throw new WireError("PURSUIT_ROUTE_NOT_FOUND", message);
    }
    return admitWhenLoaded(engine, model, request, reply) ?? next();
  });
}

/** Supported extensions of the protocol, by Triton's names. */
const EXTENSIONS = [
  "binary_tensor_data",
  "parameters",
  "model_configuration",
  "model_repository",
  "statistics",
] as const;

const ReadySchema = Type.Object({ live: Type.Boolean(), ready: Type.Optional(Type.Boolean()) });

/** Seconds after which an unready server may be ready. */
const RETRY_AFTER = 1;

/** GET /v2, /v2/health/live, /v2/health/ready. */
function serverRoutes({ engine, version }: Pick<AppOptions, "engine" | "version">): readonly V2Route[] {
  return [
    {
      method: "GET",
      path: "/",
      summary: "Name, version and extensions of the server",
      operationId: "v2Server",
      answer: Type.Object({ name: Type.String(), version: Type.String(), extensions: Type.Array(Type.String()) }),
      handle: (_request, reply) => sendJson(reply, { name: "pursuit", version, extensions: EXTENSIONS }),
    },
    {
      method: "GET",
      path: "/health/live",
      summary: "Whether the process answers",
      operationId: "v2Live",
      answer: ReadySchema,
      handle: (_request, reply) => sendJson(reply, { live: true }),
    },
    {
      method: "GET",
      path: "/health/ready",
      summary: "Whether requests can be answered; 503 if not",
      operationId: "v2Ready",
      answer: ReadySchema,
      handle: (_request, reply) => {
        const { ready, reason } = engine.readiness();
        if (ready) return sendJson(reply, { live: true, ready });
        void reply.code(503).header("retry-after", RETRY_AFTER);
        return sendJson(reply, { live: true, ready, error: reason ?? "The server is not ready." });
      },
    },
  ];
}
