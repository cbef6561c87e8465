import type { FastifyRequest } from "fastify";
import { clientClosed } from "../engine/core/errors.ts";
import type { Claim } from "./byte-ledger.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Claim of the body's bytes. Released when the response closes, answered or not. */
    bodyClaim: Claim | null;
  }
}

/**
 * Keeps the claim of a body until its request is over.
 * @throws EngineError PURSUIT_CLIENT_CLOSED when it is over already: the client left while its body was read or
 *   inflated
 */
export function holdBody(request: FastifyRequest, claim: Claim): void {
  if (request.raw.socket.destroyed) {
    claim.release();
    throw clientClosed();
  }
  request.bodyClaim = claim;
}
