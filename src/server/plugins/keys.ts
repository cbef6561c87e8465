import bearerAuth, { type FastifyBearerAuthOptions } from "@fastify/bearer-auth";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { WireError } from "../../codecs/codec-error.ts";
import { isHealth, isPage } from "./routes.ts";

/** Accepted keys. An empty list means that no key of that kind is required. */
export interface Keys {
  readonly apiKeys: readonly string[];
  /** Required by management calls; also accepted as API keys. */
  readonly adminKeys: readonly string[];
}

/** Keys that open a route. */
export type KeyRequired = "none" | "any" | "admin";

/** Returns the key that a route requires. Health and pages require none: they hold no data. */
export function keyRequired(
  { apiKeys, adminKeys }: Keys,
  route: { readonly open: boolean; readonly management: boolean },
): KeyRequired {
  if (route.open) return "none";
  if (route.management && adminKeys.length > 0) return "admin";
  return apiKeys.length > 0 ? "any" : "none";
}

type Verify = (request: FastifyRequest, reply: FastifyReply) => Promise<Error | undefined>;

/**
 * Requires a bearer key (RFC 6750): 401 without a known key, 403 with an API key where an admin key is required. Runs
 * before a dictionary is looked up or a body read. Compares in constant time.
 */
export async function registerKeys(app: FastifyInstance, keys: Keys): Promise<void> {
  const { apiKeys, adminKeys } = keys;
  if (apiKeys.length === 0 && adminKeys.length === 0) return;
  await app.register(bearerAuth, { keys: [], addHook: false, verifyErrorLogLevel: "debug" });
  const ofAny = verifier(app, [...apiKeys, ...adminKeys]);
  const ofAdmin = verifier(app, adminKeys);

  app.addHook("onRequest", async (request, reply) => {
    const { management = false } = request.routeOptions.config;
    const required = keyRequired(keys, { open: isHealth(request) || isPage(request), management });
    if (required === "none") return;
    const fault = await ofAny(request, reply);
    if (fault !== undefined) {
      const given = request.headers.authorization !== undefined;
      void reply.header("www-authenticate", `Bearer realm="pursuit"${given ? ', error="invalid_token"' : ""}`);
      throw new WireError(
        "PURSUIT_UNAUTHORIZED",
        given
          ? "This server does not know the key. Send a valid one as authorization: Bearer <key>."
          : "This server requires a key. Send one as authorization: Bearer <key>.",
      );
    }
    if (required === "any" || (await ofAdmin(request, reply)) === undefined) return;
    void reply.header("www-authenticate", 'Bearer realm="pursuit", error="insufficient_scope"');
    throw new WireError(
      "PURSUIT_FORBIDDEN",
      "This call requires a management key (one of PURSUIT_ADMIN_KEYS), and the key is an API key.",
    );
  });
}

function verifier(app: FastifyInstance, keys: readonly string[]): Verify {
  // "rfc6749" accepts "bearer" in any case, as RFC 9110 defines scheme names.
  const options: FastifyBearerAuthOptions = {
    keys: [...keys],
    addHook: false,
    specCompliance: "rfc6749",
    verifyErrorLogLevel: "debug",
  };
  const verify = app.verifyBearerAuthFactory!(options);
  return (request, reply) => new Promise((resolve) => verify(request, reply, resolve));
}
