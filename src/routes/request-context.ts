import type { FastifyReply, FastifyRequest } from "fastify";
import { Cancellation } from "../engine/core/cancellation.ts";
import type { Engine, RequestContext } from "../engine/engine.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Cancellation of its work; null before any work. Cancelled when the response closes unfinished. */
    cancellation: Cancellation | null;
  }
}

/** A request's own cancellation. */
export const cancellationOf = (request: FastifyRequest): Cancellation => (request.cancellation ??= new Cancellation());

/** Makes the engine's context of a request: cancelled when its client disconnects, with its deadline. */
export function contextOf(
  request: FastifyRequest,
  reply: FastifyReply,
  engine: Engine,
  timeoutMs?: number,
): RequestContext {
  const cancellation = cancellationOf(request);
  // It may be gone already, while its body was parsed on another thread.
  if (reply.raw.destroyed) cancellation.cancel();
  return {
    span: request.span,
    cancellation,
    ...(timeoutMs !== undefined && { deadline: engine.now() - (performance.now() - request.started) + timeoutMs }),
  };
}
