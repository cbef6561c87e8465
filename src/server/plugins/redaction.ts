import type { FastifyInstance } from "fastify";
import { redactor } from "../redact.ts";
import type { Keys } from "./keys.ts";

/** Removes keys from error answers: an error repeats the client's text, and clients forward and log errors. */
export function registerRedaction(app: FastifyInstance, { apiKeys, adminKeys }: Keys): void {
  const keys = [...apiKeys, ...adminKeys];
  if (keys.length === 0) return;
  const redact = redactor(keys);
  app.addHook("onSend", (_request, reply, payload, next) => {
    if (reply.statusCode < 400) return next();
    if (typeof payload === "string") return next(null, redact(payload));
    if (payload instanceof Uint8Array) return next(null, Buffer.from(redact(Buffer.from(payload).toString())));
    next();
  });
}
