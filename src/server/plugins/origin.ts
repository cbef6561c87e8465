import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { WireError } from "../../codecs/codec-error.ts";
import { isHealth, isPage } from "./routes.ts";

export interface OriginRule {
  /** Origins of other sites whose pages may use the server: `https://app.example.org`. */
  readonly corsOrigins: readonly string[];
}

/** Answer headers that a page may read, beside the few that it always may. */
const EXPOSED = [
  "etag",
  "inference-header-content-length",
  "ratelimit-limit",
  "ratelimit-remaining",
  "ratelimit-reset",
  "retry-after",
  "retry-after-ms",
  "server-timing",
  "www-authenticate",
  "x-request-id",
].join(", ");

/** Seconds that a browser may cache a preflight. */
const PREFLIGHT_AGE = 600;

/**
 * Refuses requests from pages of other sites, except from the allowed origins, which get CORS headers. A browser sends
 * simple requests without asking first, so CORS alone would not stop a page from changing what is served.
 */
export function registerOriginCheck(app: FastifyInstance, { corsOrigins }: OriginRule): void {
  app.addHook("onRequest", (request, reply, next) => {
    const { origin, host } = request.headers;
    if (corsOrigins.length > 0) void reply.header("vary", "origin");
    if (origin !== undefined && corsOrigins.includes(origin)) return answerCors(request, reply, origin, next);
    if (isHealth(request)) return next();
    if (origin === undefined) {
      if (request.headers["sec-fetch-site"] !== "cross-site" || followsLink(request)) return next();
      throw refused("another site");
    }
    if (isOwn(origin, host)) return next();
    throw refused(origin.slice(0, 100));
  });
}

/**
 * Lets pages of an allowed origin read the answer, also a refusal, and answers preflights (Fetch standard, CORS
 * protocol). @fastify/cors would add a route for OPTIONS on every path, which hides that a path does not exist.
 */
function answerCors(request: FastifyRequest, reply: FastifyReply, origin: string, next: () => void): void {
  void reply.headers({ "access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED });
  if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) return next();
  void reply
    .code(204)
    .headers({
      vary: "origin, access-control-request-headers",
      "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE",
      "access-control-allow-headers": request.headers["access-control-request-headers"] ?? "content-type",
      "access-control-max-age": PREFLIGHT_AGE,
    })
    .send();
}

/** Whether an origin is the server's own, by the host of the request. A proxy may have ended TLS. */
function isOwn(origin: string, host: string | undefined): boolean {
  const scheme = /^https?:\/\//.exec(origin)?.[0];
  if (scheme === undefined || host === undefined || !URL.canParse(scheme + host)) return false;
  return new URL(scheme + host).origin === origin;
}

/** Whether a person followed a link to a page: it has no effect, and only they see the answer. */
const followsLink = (request: FastifyRequest): boolean =>
  isPage(request) &&
  request.headers["sec-fetch-mode"] === "navigate" &&
  request.headers["sec-fetch-dest"] === "document";

const refused = (origin: string): WireError =>
  new WireError(
    "PURSUIT_ORIGIN_REFUSED",
    `A page of ${origin} may not use this server. Add its origin to PURSUIT_CORS_ORIGINS to allow it.`,
  );
