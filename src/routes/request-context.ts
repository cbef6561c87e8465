import type { FastifyReply, FastifyRequest } from "fastify";
import { Cancellation } from "../engine/core/cancellation.ts";
import type { Engine, RequestContext } from "../engine/engine.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Of what is done for it; null before anything is. Cancelled when the response closes unfinished. */
    cancellation: Cancellation | null;
  }
}

/** The path of a request, safe to log and to answer: a query, or a user name in a whole URL, may hold a key. */
export const pathOf = ({ url }: Pick<FastifyRequest, "url">): string =>
  url.replace(/^[a-z]+:\/\/[^/?#]*/i, "").replace(/[?#].*$/s, "") || "/";

/** A request's own cancellation. */
export const cancellationOf = (request: FastifyRequest): Cancellation => (request.cancellation ??= new Cancellation());

/** What the engine is told of a request: cancelled when its client goes, late when its time is over. */
export function contextOf(
  request: FastifyRequest,
  reply: FastifyReply,
  engine: Engine,
  timeoutMs?: number,
): RequestContext {
  const cancellation = cancellationOf(request);
  // It may have gone already, while its body was parsed on another thread.
  if (reply.raw.destroyed) cancellation.cancel();
  const { traceparent } = request.headers;
  return {
    requestId: request.id,
    cancellation,
    ...(timeoutMs !== undefined && { deadline: engine.now() - (performance.now() - request.started) + timeoutMs }),
    ...(typeof traceparent === "string" && { traceparent }),
  };
}
