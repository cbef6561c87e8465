import type { IncomingMessage } from "node:http";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { EngineError } from "../engine/core/errors.ts";
import { endsUnasked, waitsToBeAsked } from "./expectations.ts";
import { BODY_TIMEOUT } from "./intake.ts";
import { registerKeys } from "./keys.ts";
import { negotiate } from "./media-types.ts";
import { PROBLEMS } from "./problem.ts";
import { registerRateLimit } from "./rate-limit.ts";
import type { AppOptions, RouteObserver } from "./route-options.ts";
import type { Unmatched } from "./unmatched.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Whether its rows wait in the queue of the dictionary in its path: a full one refuses it before its body is read. */
    queues?: boolean;
  }
}

/**
 * What happens to every request before its body is read and after it is answered. Hooks that wait for nothing are no
 * promises: every request passes them, also the thousands a second that are only refused.
 */
export async function registerHooks(
  app: FastifyInstance,
  unmatched: Unmatched,
  { engine, observer, access }: AppOptions,
): Promise<void> {
  let closing = false;
  let open = 0;
  // Node closes connections between two requests, but waits for those that have never sent one.
  const endConnections = (): void => {
    if (closing && open === 0) app.server.closeAllConnections();
  };
  app.addHook("preClose", async () => {
    closing = true;
    setImmediate(endConnections);
  });
  app.decorateRequest("started", 0);
  app.decorateRequest("decodeMilliseconds", 0);
  app.decorateRequest("answerType", "json");
  app.decorateRequest("releaseBody", () => {});
  app.decorateRequest("cancellation", null);

  app.addHook("onRequest", (request, reply, next) => {
    request.started = performance.now();
    open++;
    // Comes of every request. Fastify's hooks for answered and aborted ones both miss a client that leaves while it waits.
    reply.raw.once("close", () => {
      open--;
      request.releaseBody();
      if (!reply.raw.writableFinished) request.cancellation?.cancel();
      report(request, reply, observer);
      if (!request.raw.complete && !request.raw.socket.destroyed) endDripping(request.raw);
      endConnections();
    });
    void reply.header("x-request-id", request.id);
    next();
  });

  await registerKeys(app, access);
  await registerRateLimit(app, access);
  unmatched.register(app);

  app.addHook("onRequest", (request, _reply, next) => {
    if (request.url.startsWith("/v1/")) checkHead(request);
    next();
  });

  const checkHead = (request: FastifyRequest): void => {
    if (closing) {
      throw new EngineError("PURSUIT_DRAINING", "The server is shutting down; ask another one.", { retryAfter: 1 });
    }
    // Before the body: nobody should send 64 MiB to learn that the name was misspelt.
    const { id } = request.params as { id?: string };
    if (id !== undefined) engine.status(id);
    request.answerType = negotiate(request);
    if (id !== undefined && request.routeOptions.config.queues) engine.admit(id);
  };

  // Also what was in flight when closing began: a connection kept alive would hold the server open until it idles out.
  // And whoever was not asked for the body that it announced: Node cannot know whether it comes, and ends the connection.
  app.addHook("onSend", (request, reply, _payload, next) => {
    const goOn = (ends: boolean): void => {
      if (ends) void reply.header("connection", "close");
      next();
    };
    if (!waitsToBeAsked(request.raw)) return goOn(closing);
    // A refusal may come of the head at once: what was sent with it is only parsed after that.
    setImmediate(() => goOn(endsUnasked(request.raw) || closing));
  });
}

/** To the metrics and the log: as answered, or as nobody's who left before its answer began (499, as proxies have it). */
function report(request: FastifyRequest, reply: FastifyReply, observer: RouteObserver): void {
  const status = reply.raw.headersSent ? reply.statusCode : PROBLEMS.PURSUIT_CLIENT_CLOSED.status;
  const seconds = (performance.now() - request.started) / 1000;
  observer.request({ route: routeOf(request), status, seconds });
  request.log.debug({ method: request.method, url: request.url, status, seconds }, "answered");
}

/** A body that is dropped unread after its answer may take as long as any other, and no longer. */
function endDripping(request: IncomingMessage): void {
  const timer = setTimeout(() => request.socket.destroy(), BODY_TIMEOUT).unref();
  request.once("close", () => clearTimeout(timer));
}

/** Patterns of routes, by their URLs as Fastify has them. */
const patterns = new Map<string, string>();

/** The route's pattern, never the path: a label must not grow with what clients make up. */
function routeOf(request: FastifyRequest): string {
  const { url } = request.routeOptions;
  if (url === undefined) return "unmatched";
  let pattern = patterns.get(url);
  if (pattern === undefined) patterns.set(url, (pattern = url.replace(/:(\w+)/g, "{$1}")));
  return pattern;
}
