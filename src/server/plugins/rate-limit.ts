import { createHash } from "node:crypto";
import rateLimit, { normalizeIP } from "@fastify/rate-limit";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Keys } from "./keys.ts";
import { isHealth } from "./routes.ts";
import { WireError } from "../../codecs/codec-error.ts";

/** Clients remembered at most; the one seen longest ago is forgotten first. */
const CLIENTS = 10_000;

export interface RateLimit {
  /** Requests of one client a minute; 0: as many as it likes. */
  readonly rateLimit: number;
}

/**
 * Requests a minute, per key where keys are asked for and per address where not. Counted after the key was checked, so
 * that nobody spends another's, and before anything is read. Health is not counted.
 */
export async function registerRateLimit(
  app: FastifyInstance,
  { rateLimit: max, apiKeys }: RateLimit & Keys,
): Promise<void> {
  if (max === 0) return;
  await app.register(rateLimit, {
    global: false,
    max,
    timeWindow: 60_000,
    cache: CLIENTS,
    enableDraftSpec: true,
    keyGenerator: apiKeys.length > 0 ? keyOf : ({ ip }) => normalizeIP(ip),
    errorResponseBuilder: (_request, { ttl }) =>
      new WireError("PURSUIT_RATE_LIMITED", `More than ${max} requests came from this client in a minute.`, ttl / 1000),
  });
  const count = app.rateLimit();
  app.addHook("onRequest", async function (request, reply) {
    if (isHealth(request)) return;
    await count.call(this, request, reply);
  });
}

const SCHEME = "Bearer ".length;

/** What stands for a key where it is counted: not the key, and the same however its header is written. */
const keyOf = ({ headers }: FastifyRequest): string =>
  createHash("sha256")
    .update((headers.authorization ?? "").slice(SCHEME).trim())
    .digest("base64");
