import type { FastifyReply, FastifyRequest } from "fastify";
import type { Engine, RequestContext } from "../engine/engine.ts";

/** What the engine is told of a request: aborted when its client goes, late when its time is over. */
export function contextOf(
  request: FastifyRequest,
  reply: FastifyReply,
  engine: Engine,
  timeoutMs?: number,
): RequestContext {
  const controller = new AbortController();
  // It may have gone already, while its body was parsed on another thread.
  if (reply.raw.destroyed) controller.abort();
  reply.raw.once("close", () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  const { traceparent } = request.headers;
  return {
    requestId: request.id,
    signal: controller.signal,
    ...(timeoutMs !== undefined && { deadline: engine.now() - (performance.now() - request.started) + timeoutMs }),
    ...(typeof traceparent === "string" && { traceparent }),
  };
}
