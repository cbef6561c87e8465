import { randomUUID } from "node:crypto";
import accepts from "@fastify/accepts";
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import Fastify, { type FastifyInstance, LogController } from "fastify";
import type { Logger } from "pino";
import { registerBodies } from "../routes/body.ts";
import { registerCompression } from "../routes/compress.ts";
import { registerDecode } from "../routes/v1/decode.ts";
import { registerDictionaries } from "../routes/v1/dictionaries.ts";
import { registerEncode } from "../routes/v1/encode.ts";
import { answerTunnel, answerUnreadable, answerUnroutable, registerErrorHandler } from "../routes/error-handler.ts";
import { meetExpectations } from "../routes/expectations.ts";
import { registerFeatures } from "../routes/v1/features.ts";
import { registerHooks } from "../routes/hooks.ts";
import { Intake } from "../routes/intake.ts";
import { registerOperations } from "../routes/operations.ts";
import { registerSteer } from "../routes/v1/steer.ts";
import { registerSteeringSets } from "../routes/v1/steering-sets.ts";
import type { AppOptions } from "../routes/route-options.ts";
import { ProblemSchema } from "../routes/v1/schemas.ts";
import { registerTransfer } from "../routes/v1/transfer.ts";
import { Unmatched } from "../routes/unmatched.ts";
import { registerV2 } from "../routes/oip/register-v2.ts";
import { WirePool } from "../routes/threads/pool.ts";
import { RequestLogger } from "./request-logger.ts";

/** An id that a client may choose for its request, to find it in our log. */
const REQUEST_ID = /^[\w.:-]{1,128}$/;

/**
 * Bytes of a body that Node takes before it stops reading the socket until they are asked for. At its 16 KiB a body of
 * 32 rows, refused or not, stops and starts its socket once, which is two system calls.
 */
const BODY_HIGH_WATER = 64 * 1024;

/** The HTTP application over an engine. It owns nothing of the engine's life. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: options.logger,
    // What it is handed is pino's, with Fastify's serializers.
    childLoggerFactory: (logger, bindings, given) => new RequestLogger(logger as Logger, bindings, given),
    // A line per request is the metrics' work; routes/hooks.ts writes one at debug.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: "request_id" }),
    // Node's would end a stream of lines too, however long it goes on: routes/intake.ts has a time for each body.
    requestTimeout: 0,
    http: { highWaterMark: BODY_HIGH_WATER },
    // Refused by our own hook while draining, as a problem.
    return503OnClosing: false,
    frameworkErrors: answerUnroutable,
    clientErrorHandler: answerUnreadable,
    routerOptions: { maxParamLength: 256 },
    exposeHeadRoutes: false,
    genReqId: ({ headers }) => {
      const given = headers["x-request-id"];
      return typeof given === "string" && REQUEST_ID.test(given) ? given : randomUUID();
    },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false } },
  });
  meetExpectations(app.server);
  app.server.on("connect", answerTunnel);
  const unmatched = new Unmatched(app);
  const pool = new WirePool();
  const intake = new Intake(options.limits, () => options.observer.shedBytes());
  app.addHook("onClose", () => pool.close());

  await app.register(accepts);
  // First of all: the documentation's routes are refused in the same words.
  registerErrorHandler(app);
  app.addSchema(ProblemSchema);
  await app.register(swagger, {
    refResolver: { buildLocalReference: ({ $id }) => $id as string },
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Pursuit",
        version: options.version,
        description: "Sparse codes of activation vectors by matching pursuit, with a budget per request and per row.",
        license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      },
      components: {
        securitySchemes: {
          key: {
            type: "http",
            scheme: "bearer",
            description: "Asked for where PURSUIT_API_KEYS is set; never by health",
          },
        },
      },
      security: [{}, { key: [] }],
      tags: [
        { name: "dictionaries", description: "Rows to codes and back" },
        { name: "steering", description: "Rows edited by their features, and named sets of edits" },
        { name: "open inference protocol", description: 'As Triton and KServe speak it; errors are {"error"}' },
        { name: "operations", description: "Health and metrics" },
      ],
    },
  });
  await app.register(swaggerUi, { routePrefix: "/docs", indexPrefix: "" });

  await registerHooks(app, unmatched, options);
  registerCompression(app, options);
  registerBodies(app, pool, intake, options);
  registerDictionaries(app, options);
  registerFeatures(app, options);
  registerEncode(app, pool, options);
  registerDecode(app, pool, options);
  registerSteer(app, pool, options);
  registerSteeringSets(app, options);
  registerTransfer(app, pool, options);
  registerOperations(app, options);
  await registerV2(app, pool, intake, options);
  return app;
}
