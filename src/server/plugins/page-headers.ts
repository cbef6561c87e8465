import type { FastifyInstance } from "fastify";
import { isPage } from "./routes.ts";

/** Pages load only files of this server, run no inline script, and cannot be framed. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const PAGE_HEADERS = {
  "content-security-policy": POLICY,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
};

/** Stops browsers from guessing content types, and gives pages a strict policy. */
export function registerPageHeaders(app: FastifyInstance): void {
  app.addHook("onRequest", (request, reply, next) => {
    void reply.header("x-content-type-options", "nosniff");
    if (isPage(request)) void reply.headers(PAGE_HEADERS);
    next();
  });
}
