import type { FastifyRequest } from "fastify";
import { clientClosed } from "../engine/core/errors.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Gives back what was set aside for the body. Called when the response closes, answered or not. */
    releaseBody: () => void;
  }
}

/**
 * Keeps what was set aside for a body until its request is over.
 * @throws EngineError PURSUIT_CLIENT_CLOSED where it is over already, and nobody would give it back: the client left while
 * its body was read or inflated
 */
export function holdBody(request: FastifyRequest, release: () => void): void {
  if (request.raw.socket.destroyed) {
    release();
    throw clientClosed();
  }
  request.releaseBody = release;
}
