import type { FastifyReply, FastifyRequest } from "fastify";
import { Cancellation } from "../engine/core/cancellation.ts";
import type { Engine, RequestContext } from "../engine/engine.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Of what is done for it; null before anything is. Cancelled when the response closes unfinished. */
    cancellation: Cancellation | null;
  }
}

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
  return {
    span: request.span,
    cancellation,
    ...(timeoutMs !== undefined && { deadline: engine.now() - (performance.now() - request.started) + timeoutMs }),
  };
}
