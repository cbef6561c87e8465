import type { FastifyInstance, FastifyRequest } from "fastify";
import { EngineError } from "../../engine/core/errors.ts";
import { problemOf, reportProblem } from "../error-handler.ts";
import { holdBody } from "../hold-body.ts";
import { admitWhenLoaded } from "../hooks.ts";
import { inflaterFor } from "../inflate.ts";
import type { Intake } from "../intake.ts";
import type { AppOptions } from "../route-options.ts";
import { WireError } from "../../codecs/codec-error.ts";
import type { WirePool } from "../threads/pool.ts";
import { inferRoute } from "./infer-route.ts";
import { InferStatistics } from "./infer-statistics.ts";
import { modelRoutes } from "./model-routes.ts";
import { repositoryRoutes } from "./repository-routes.ts";
import { serverRoutes } from "./server-routes.ts";
import { sendV2Error } from "./v2-answer.ts";
import { addV2Route, VERSION } from "./v2-route.ts";

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
  // Gives unknown paths below /v2 the error handler above; routes/unmatched.ts refuses them before this one runs.
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
