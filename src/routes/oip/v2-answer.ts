import type { FastifyReply } from "fastify";
import { type Problem, PROBLEMS, sayRetryAfter } from "../problem.ts";

/** Without a charset: KServe's client reads an error's text only then. */
export const JSON_TYPE = "application/json";

/** JSON as bytes: Fastify would add a charset to text and objects. */
export const jsonBytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

export function sendJson(reply: FastifyReply, value: unknown): FastifyReply {
  return reply.type(JSON_TYPE).send(jsonBytes(value));
}

/** Sends `{"error": "…"}` with the error's usual status; x-request-id identifies the request. */
export function sendV2Error(reply: FastifyReply, { code, detail, retryAfter }: Problem): FastifyReply {
  if (retryAfter !== undefined) sayRetryAfter(reply, retryAfter);
  void reply.code(PROBLEMS[code].status);
  return sendJson(reply, { error: detail });
}
