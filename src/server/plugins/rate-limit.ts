import { createHash } from "node:crypto";
import rateLimit, { type FastifyRateLimitStore, normalizeIP } from "@fastify/rate-limit";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { LRUCache } from "lru-cache";
import type { Keys } from "./keys.ts";
import { isHealth, isPage } from "./routes.ts";
import { WireError } from "../../codecs/codec-error.ts";

/** Maximum clients remembered; the one seen longest ago is dropped first. */
const CLIENTS = 10_000;

export interface RateLimit {
  /** Requests per minute of one client; 0: unlimited. */
  readonly rateLimit: number;
}

/**
 * Limits requests per minute, by key if keys are required, otherwise by address. Runs after the key check, so that
 * nobody uses another's share, and before a body is read. Health and pages are not counted, because they carry no
 * checked key.
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
    store: Windows,
    enableDraftSpec: true,
    keyGenerator: apiKeys.length > 0 ? keyOf : addressOf,
    errorResponseBuilder: (_request, { ttl }) =>
      new WireError("PURSUIT_RATE_LIMITED", `More than ${max} requests came from this client in a minute.`, ttl / 1000),
  });
  const count = app.rateLimit();
  app.addHook("onRequest", async function (request, reply) {
    if (isHealth(request) || isPage(request)) return;
    await count.call(this, request, reply);
  });
}

/**
 * Counts each client's requests in its present window by a monotonic clock: the plugin's own store uses the wall clock.
 */
class Windows implements FastifyRateLimitStore {
  readonly #clients = new LRUCache<string, { count: number; readonly end: number }>({ max: CLIENTS });

  incr(client: string, callback: Parameters<FastifyRateLimitStore["incr"]>[1], window: number): void {
    const now = performance.now();
    let present = this.#clients.get(client);
    if (present === undefined || present.end <= now) {
      present = { count: 0, end: now + window };
      this.#clients.set(client, present);
    }
    callback(null, { current: ++present.count, ttl: present.end - now });
  }

  /** For routes with their own limits: there are none. */
  child(): FastifyRateLimitStore {
    return this;
  }
}

/** Clients of a Unix socket have no address: they are counted together. */
const addressOf = ({ ip }: { readonly ip: string | undefined }): string => (ip ? normalizeIP(ip) : "unix");

const SCHEME = "Bearer ".length;

/** Counts a key under a hash, independent of how its header is written. */
const keyOf = ({ headers }: FastifyRequest): string =>
  createHash("sha256")
    .update((headers.authorization ?? "").slice(SCHEME).trim())
    .digest("base64");
