import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import { ProblemSchema } from "../../routes/v1/schemas.ts";
import { keyRequired, type Keys } from "./keys.ts";
import { completeDocument } from "./openapi-document.ts";
import { isHealthPath, isPage } from "./routes.ts";

/** Describes the routes registered after it: the OpenAPI document, and the page at /docs. */
export async function registerDocs(
  app: FastifyInstance,
  { version, access }: { readonly version: string; readonly access: Keys },
): Promise<void> {
  app.addSchema(ProblemSchema);
  const keyed = access.apiKeys.length > 0 || access.adminKeys.length > 0;
  await app.register(swagger, {
    refResolver: { buildLocalReference: ({ $id }) => $id as string },
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Pursuit",
        version,
        description:
          "Sparse codes of activation vectors by matching pursuit, with a budget per request and per row. A server with keys " +
          "requires one as `authorization: Bearer <key>`, and its own /openapi.json says on which routes.",
        license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      },
      ...(keyed && { components: { securitySchemes: { key: { type: "http", scheme: "bearer" } } } }),
      tags: [
        { name: "dictionaries", description: "Rows to codes and back" },
        { name: "steering", description: "Edit rows by their features; named sets of edits" },
        { name: "open inference protocol", description: 'As Triton and KServe speak it; errors are {"error"}' },
        { name: "operations", description: "Health and metrics" },
      ],
    },
    transform: ({ schema, url, route }) => {
      const { management = false } = route.config ?? {};
      const required = keyRequired(access, { open: isHealthPath(url), management });
      return { schema: required === "none" ? schema : { ...schema, security: [{ key: [] }] }, url };
    },
    transformObject: completeDocument,
  });
  await app.register(async (pages) => {
    pages.addHook("onRoute", (route) => {
      route.config = { ...route.config, page: true };
    });
    await pages.register(swaggerUi, {
      routePrefix: "/docs",
      indexPrefix: "",
      // Without the bar of another product. The page forgets a key when it is closed.
      uiConfig: { layout: "BaseLayout", persistAuthorization: false, tryItOutEnabled: true },
    });
  });
}

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
