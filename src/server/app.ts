import { randomUUID } from "node:crypto";
import accepts from "@fastify/accepts";
import Fastify, { type FastifyInstance, LogController } from "fastify";
import type { ShedReason } from "../engine/core/telemetry.ts";
import { registerBodies } from "../routes/body.ts";
import { registerCompression } from "../routes/codings.ts";
import { registerDecode } from "../routes/v1/decode.ts";
import { registerDictionaries } from "../routes/v1/dictionaries.ts";
import { registerEncode } from "../routes/v1/encode.ts";
import {
  answerTunnel,
  answerUnreadable,
  answerUnroutable,
  registerErrorHandler,
  Unmatched,
} from "../routes/error-handler.ts";
import { meetExpectations, registerLastAnswers } from "../routes/clients.ts";
import { registerOwnLabels } from "../routes/v1/own-labels.ts";
import { registerFeatures } from "../routes/v1/features.ts";
import { registerHeadCheck, registerRequestHooks } from "../routes/hooks.ts";
import { Intake } from "../routes/intake.ts";
import { registerOperations } from "../routes/operations.ts";
import { addTimes, patternOf, registerServerTiming } from "../routes/request-span.ts";
import { registerContrast } from "../routes/v1/contrast.ts";
import { registerSteer } from "../routes/v1/steer.ts";
import { registerSteeringSets } from "../routes/v1/steering-sets.ts";
import type { AppOptions } from "../routes/request-context.ts";
import { registerTransfer } from "../routes/v1/transfer.ts";
import { registerV2 } from "../routes/oip/register-v2.ts";
import { WirePool } from "../routes/threads/pool.ts";
import type { Certificate } from "./tls.ts";
import { Connections } from "./plugins/connections.ts";
import { registerDocs, registerPageHeaders } from "./plugins/docs.ts";
import { registerExplorer } from "./plugins/explorer.ts";
import { type HostRule, registerHostCheck } from "./plugins/host.ts";
import { type Keys, registerKeys } from "./plugins/keys.ts";
import { type OriginRule, registerOriginCheck } from "./plugins/origin.ts";
import { type RateLimit, registerRateLimit } from "./plugins/rate-limit.ts";
import { registerRedaction } from "./plugins/redaction.ts";
import { registerUnread, UnreadAnswers } from "../routes/unread-answers.ts";

/** An id that a client may choose for its request; the log names it. */
const REQUEST_ID = /^[\w.:-]{1,128}$/;

/**
 * Bytes of a body that Node buffers before it stops reading the socket. At its default of 16 KiB a body of 32 rows
 * stops and starts its socket once, which costs two system calls.
 */
export const BODY_HIGH_WATER = 64 * 1024;

export interface ServerOptions extends AppOptions {
  /** TLS certificate and key; plain HTTP without. */
  readonly tls?: Certificate | null;
  /** Threads for large bodies, closed with the application; created on demand if not given. */
  readonly pool?: WirePool;
  /** Folder of the built explorer; absent: / leads to /docs. */
  readonly explorer?: string;
  /** Access rules: host, origin, keys, rate. */
  readonly access: HostRule & OriginRule & Keys & RateLimit;
}

/** Builds the HTTP application over an engine. It does not start or stop the engine. */
export async function buildApp(options: ServerOptions): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: options.logger,
    // Metrics cover requests; routes/hooks.ts logs each at debug.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: "request_id" }),
    // Node's timeout would also end a stream of lines; routes/intake.ts times each body.
    requestTimeout: 0,
    ...(options.tls
      ? { https: { ...options.tls, highWaterMark: BODY_HIGH_WATER, handshakeTimeout: options.limits.stallMs } }
      : { http: { highWaterMark: BODY_HIGH_WATER } }),
    // While draining, our own hook refuses requests with a problem.
    return503OnClosing: false,
    frameworkErrors: answerUnroutable,
    clientErrorHandler: answerUnreadable,
    routerOptions: { maxParamLength: 256 },
    // HEAD is answered wherever GET is.
    exposeHeadRoutes: true,
    genReqId: ({ headers }) => {
      const given = headers["x-request-id"];
      return typeof given === "string" && REQUEST_ID.test(given) ? given : randomUUID();
    },
    // Verbose: a fault then holds the schema, which lists the known fields.
    ajv: {
      customOptions: {
        coerceTypes: false,
        removeAdditional: false,
        useDefaults: false,
        verbose: true,
        // See textParameter.
        keywords: ["documented"],
      },
    },
  });
  const { telemetry } = options;
  telemetry.subscribe(addTimes);
  const refuse = (reason: ShedReason): void => telemetry.emit({ type: "shed", reason });
  meetExpectations(app.server);
  const connections = new Connections(options.limits, () => refuse("connections"));
  connections.guard(app.server);
  app.server.on("connect", answerTunnel);
  const unmatched = new Unmatched(app);
  const pool = options.pool ?? new WirePool(options.limits);
  const intake = new Intake(options.limits, () => refuse("bytes_in_flight"));
  options.metrics.showBodies(intake, options.limits.maxBytesInFlight);
  app.addHook("onRoute", ({ url }) => {
    if (/^\/v\d\//.test(url)) options.metrics.showRoute(patternOf(url));
  });
  app.addHook("onClose", () => pool.close());

  await app.register(accepts);
  registerErrorHandler(app);

  // Hooks run in this order: requests are refused by their head as early and cheaply as possible.
  const { access } = options;
  registerRequestHooks(app, options);
  registerServerTiming(app);
  registerPageHeaders(app);
  registerHostCheck(app, access);
  registerOriginCheck(app, access);
  await registerKeys(app, access);
  await registerRateLimit(app, access);
  unmatched.register(app);
  registerHeadCheck(app, options);

  registerRedaction(app, access);
  await registerDocs(app, options);
  await registerExplorer(app, options.explorer);
  registerCompression(app, options);
  const unread = new UnreadAnswers(options.limits, () => refuse("unread_answers"));
  registerUnread(app, unread);
  registerLastAnswers(app, options.limits);
  registerBodies(app, pool, intake, options);
  registerDictionaries(app, options);
  registerFeatures(app, options);
  registerOwnLabels(app, options);
  registerEncode(app, pool, unread, options);
  registerDecode(app, pool, options);
  registerContrast(app, pool, options);
  registerSteer(app, pool, options);
  registerSteeringSets(app, unread, options);
  registerTransfer(app, pool, options);
  registerOperations(app, options);
  await registerV2(app, pool, intake, options);
  return app;
}
