import type { FastifyReply } from "fastify";
import { type Problem, PROBLEMS, sayRetryAfter } from "../problem.ts";

/** Exactly this: KServe's client reads an error's text only where the type has no charset beside it. */
export const JSON_TYPE = "application/json";

/** JSON as bytes: to text, and to objects, Fastify would add a charset. */
export const jsonBytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

export function sendJson(reply: FastifyReply, value: unknown): FastifyReply {
  return reply.type(JSON_TYPE).send(jsonBytes(value));
}

/** `{"error": "…"}` with the status that the fault has everywhere; x-request-id tells which request it was. */
export function sendV2Error(reply: FastifyReply, { code, detail, retryAfter }: Problem): FastifyReply {
  if (retryAfter !== undefined) sayRetryAfter(reply, retryAfter);
  void reply.code(PROBLEMS[code].status);
  return sendJson(reply, { error: detail });
}
