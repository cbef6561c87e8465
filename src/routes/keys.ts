import bearerAuth, { type FastifyBearerAuthOptions } from "@fastify/bearer-auth";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { WireError } from "../codecs/codec-error.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Whether it changes what is served: it then asks for a management key where there are some. */
    management?: boolean;
  }
}

/** Keys that are taken; none of one kind: that kind is not asked for. */
export interface Keys {
  readonly apiKeys: readonly string[];
  /** Also taken where an API key is asked for. */
  readonly adminKeys: readonly string[];
}

type Verify = (request: FastifyRequest, reply: FastifyReply) => Promise<Error | undefined>;

/** Not asked for a key: what a platform asks a server that it has no key of. */
const isHealth = (request: FastifyRequest): boolean => /^(\/v2)?\/health\//.test(request.routeOptions.url ?? "");

/**
 * Who may come in (RFC 6750). Without a valid key 401; with one that is not for management, where that is asked for,
 * 403. Both come before anything is said of a dictionary, or read of a body. A key is compared in constant time with
 * every one that there is, and neither logged nor told.
 */
export async function registerKeys(app: FastifyInstance, { apiKeys, adminKeys }: Keys): Promise<void> {
  if (apiKeys.length === 0 && adminKeys.length === 0) return;
  await app.register(bearerAuth, { keys: [], addHook: false, verifyErrorLogLevel: "debug" });
  const ofAny = verifier(app, [...apiKeys, ...adminKeys]);
  const ofAdmin = verifier(app, adminKeys);

  app.addHook("onRequest", async (request, reply) => {
    if (isHealth(request)) return;
    const managing = adminKeys.length > 0 && request.routeOptions.config.management === true;
    if (!managing && apiKeys.length === 0) return;
    const fault = await ofAny(request, reply);
    if (fault !== undefined) {
      const given = request.headers.authorization !== undefined;
      void reply.header("www-authenticate", `Bearer realm="pursuit"${given ? ', error="invalid_token"' : ""}`);
      throw new WireError(
        "PURSUIT_UNAUTHORIZED",
        given
          ? "The key is none of this server's; send one that is, as authorization: Bearer <key>."
          : "This server asks for a key; send one as authorization: Bearer <key>.",
      );
    }
    if (!managing || (await ofAdmin(request, reply)) === undefined) return;
    void reply.header("www-authenticate", 'Bearer realm="pursuit", error="insufficient_scope"');
    throw new WireError(
      "PURSUIT_FORBIDDEN",
      "This call asks for a management key (PURSUIT_ADMIN_KEYS); the key is none.",
    );
  });
}

function verifier(app: FastifyInstance, keys: readonly string[]): Verify {
  // "bearer" in any case, as RFC 9110 has it for the names of schemes.
  const options: FastifyBearerAuthOptions = {
    keys: [...keys],
    addHook: false,
    specCompliance: "rfc6749",
    verifyErrorLogLevel: "debug",
  };
  const verify = app.verifyBearerAuthFactory!(options);
  return (request, reply) => new Promise((resolve) => verify(request, reply, resolve));
}
