import { createHash } from "node:crypto";
import rateLimit, { type FastifyRateLimitStore, normalizeIP } from "@fastify/rate-limit";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { LRUCache } from "lru-cache";
import type { Keys } from "./keys.ts";
import { isHealth, isPage } from "./routes.ts";
import { WireError } from "../../codecs/codec-error.ts";

/** Clients remembered at most; the one seen longest ago is forgotten first. */
const CLIENTS = 10_000;

export interface RateLimit {
  /** Requests of one client a minute; 0: as many as it likes. */
  readonly rateLimit: number;
}

/**
 * Limits requests a minute, per key where keys are required and else per address. Runs after the key check, so that nobody
 * spends another's share, and before a body is read. Health and pages are not counted: their requests carry no checked key.
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
    keyGenerator: apiKeys.length > 0 ? keyOf : ({ ip }) => normalizeIP(ip),
    errorResponseBuilder: (_request, { ttl }) =>
      new WireError("PURSUIT_RATE_LIMITED", `More than ${max} requests came from this client in a minute.`, ttl / 1000),
  });
  const count = app.rateLimit();
  app.addHook("onRequest", async function (request, reply) {
    if (isHealth(request) || isPage(request)) return;
    await count.call(this, request, reply);
  });
}

/** Requests of each client in its present window, by a clock that nobody sets: the plugin's own store goes by the wall clock. */
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

  /** For routes with limits of their own: there are none. */
  child(): FastifyRateLimitStore {
    return this;
  }
}

const SCHEME = "Bearer ".length;

/** What stands for a key where it is counted: not the key, and the same however its header is written. */
const keyOf = ({ headers }: FastifyRequest): string =>
  createHash("sha256")
    .update((headers.authorization ?? "").slice(SCHEME).trim())
    .digest("base64");
