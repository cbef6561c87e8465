import { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { EngineError } from "../engine/core/errors.ts";
import { endDripping, endsUnasked, waitsToBeAsked } from "./clients.ts";
import { negotiate } from "./media-types.ts";
import { PROBLEMS } from "./problem.ts";
import { HttpSpan, pathOf } from "./request-span.ts";
import type { AppOptions } from "./request-context.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Whether its rows wait in the queue of the dictionary in its path: a full one refuses it before its body is read. */
    queues?: boolean;
    /** Whether it needs the dictionary in its path loaded. Those whose rows queue do. */
    loads?: boolean;
  }
}

/**
 * Tells of every request, and ends connections while the server closes. Register it first. These hooks wait for
 * nothing, so they are no promises: thousands of requests a second pass them.
 */
export function registerRequestHooks(
  app: FastifyInstance,
  { engine, telemetry, limits }: Pick<AppOptions, "engine" | "telemetry" | "limits">,
): void {
  let closing = false;
  let open = 0;
  // Node closes connections between two requests, but waits for those that have never sent one.
  let onAnswered = (): void => {};
  const endConnections = (): void => {
    if (!closing || open > 0) return;
    app.server.closeAllConnections();
    onAnswered();
  };
  app.addHook("preClose", async () => {
    closing = true;
    setImmediate(endConnections);
  });
  // Node waits for the connections of its own address only.
  app.addHook("onClose", () => (open === 0 ? undefined : new Promise<void>((resolve) => (onAnswered = resolve))));
  app.decorateRequest("started", 0);
  // Of every request, before anything asks for it.
  app.decorateRequest("span", null as unknown as HttpSpan);
  app.decorateRequest("answerType", "json");
  app.decorateRequest("bodyClaim", null);
  app.decorateRequest("cancellation", null);

  app.addHook("onRequest", (request, reply, next) => {
    request.started = performance.now();
    request.span = new HttpSpan(request);
    telemetry.emit({ type: "request_started", request: request.span, at: request.started });
    open++;
    // Comes of every request. Fastify's hooks for answered and aborted ones both miss a client that leaves while it waits.
    reply.raw.once("close", () => {
      open--;
      request.bodyClaim?.release();
      if (!reply.raw.writableFinished) request.cancellation?.cancel();
      telemetry.emit({
        type: "request_ended",
        request: request.span,
        status: statusOf(reply),
        start: request.started,
        end: performance.now(),
      });
      if (!request.raw.complete && !request.raw.socket.destroyed) endDripping(request.raw, limits);
      endConnections();
    });
    void reply.header("x-request-id", request.id);
    next();
  });

  // Fastify gives HEAD a content-length of 0 where GET has no content at all: after a stream it sets none.
  app.addHook("onSend", (request, reply, payload, next) => {
    if (request.method === "HEAD" && reply.statusCode === 304) next(null, Readable.from([]));
    else next(null, payload);
  });

  // Connections end with the answers that are given while draining: one kept alive would hold the server open, and its next
  // request could meet the closing door. So do those of clients that were not asked for the body that they announced.
  app.addHook("onSend", (request, reply, _payload, next) => {
    const goOn = (ends: boolean): void => {
      if (ends) void reply.header("connection", "close");
      next();
    };
    if (!waitsToBeAsked(request.raw)) return goOn(closing || engine.draining);
    // A refusal may come of the head at once: what was sent with it is only parsed after that.
    setImmediate(() => goOn(endsUnasked(request.raw) || closing || engine.draining));
  });
}

/** Refuses a `/v1` request by its head, before its body is sent. Register it after the checks of who may ask. */
export function registerHeadCheck(app: FastifyInstance, { engine }: Pick<AppOptions, "engine">): void {
  let closing = false;
  app.addHook("preClose", async () => {
    closing = true;
  });
  app.addHook("onRequest", (request, reply, next) => {
    if (!pathOf(request).startsWith("/v1/")) return next();
    if (closing) {
      throw new EngineError("PURSUIT_DRAINING", "The server is shutting down; ask another one.", { retryAfter: 1 });
    }
    const { id } = request.params as { id?: string };
    if (id !== undefined) engine.status(id);
    request.answerType = negotiate(request);
    // Fastify waits for a promise, and calls back otherwise.
    return admitWhenLoaded(engine, id, request, reply) ?? next();
  });
}

/**
 * Loads the dictionary of a request, where it is loaded on demand, keeps it until the answer is sent or its client has gone, and
 * refuses the request where the dictionary's queue is full.
 * @returns null where there is nothing to wait for, as at every request of a server that loads at its start
 */
export function admitWhenLoaded(
  engine: AppOptions["engine"],
  id: string | undefined,
  { routeOptions: { config } }: FastifyRequest,
  { raw }: FastifyReply,
): Promise<void> | null {
  if (id === undefined || !(config.queues || config.loads)) return null;
  const held = engine.hold(id);
  if (held !== null) return admitHeld(held, raw, () => config.queues && engine.admit(id));
  if (config.queues) engine.admit(id);
  return null;
}

async function admitHeld(held: Promise<() => void>, raw: FastifyReply["raw"], admit: () => void): Promise<void> {
  const release = await held;
  if (raw.closed) release();
  else raw.once("close", release);
  admit();
}

/** The answer's status; 499, as proxies have it, where the client left before its answer began. */
const statusOf = (reply: FastifyReply): number =>
  reply.raw.headersSent ? reply.statusCode : PROBLEMS.PURSUIT_CLIENT_CLOSED.status;
