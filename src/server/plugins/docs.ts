import swagger, { type FastifyDynamicSwaggerOptions } from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import { ProblemSchema } from "../../routes/v1/schemas.ts";
import { keyRequired, type Keys } from "./keys.ts";
import { REQUEST_EXAMPLES } from "./openapi-examples.ts";
import { isHealthPath, isPage } from "./routes.ts";

/** The part of an OpenAPI operation completed here. */
interface Operation {
  readonly operationId: string;
  parameters?: Parameter[];
  readonly requestBody?: { readonly content: Record<string, { example?: unknown }> };
}
interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly description?: string;
  readonly schema?: unknown;
  example?: unknown;
}

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
    transformObject: completeOperations,
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

/** Adds examples to requests, and shows the query of bodies without fields as one parameter. */
const completeOperations: NonNullable<FastifyDynamicSwaggerOptions["transformObject"]> = (given) => {
  if (!("openapiObject" in given)) return given.swaggerObject;
  for (const path of Object.values(given.openapiObject.paths ?? {})) {
    for (const operation of Object.values(path ?? {}) as Operation[]) {
      const { parameters = {}, body = {} } = REQUEST_EXAMPLES[operation.operationId] ?? {};
      for (const parameter of operation.parameters ?? []) {
        if (parameter.name in parameters) parameter.example = parameters[parameter.name];
      }
      for (const [type, media] of Object.entries(operation.requestBody?.content ?? {})) {
        if (type in body) media.example = body[type];
      }
      if (operation.requestBody !== undefined) foldQuery(operation);
    }
  }
  return given.openapiObject;
};

/** Folds query parameters into one object, serialized as those parameters (style form, explode). */
function foldQuery(operation: Operation): void {
  const { parameters = [] } = operation;
  const query = parameters.filter((parameter) => parameter.in === "query");
  if (query.length === 0) return;
  operation.parameters = [
    ...parameters.filter((parameter) => parameter.in !== "query"),
    {
      name: "fields",
      in: "query",
      description:
        "Only for bodies of bytes or lines, which have no fields of their own: the fields of the JSON body, each as a " +
        "parameter of that name. Leave it empty for JSON and MessagePack.",
      style: "form",
      explode: true,
      schema: {
        type: "object",
        properties: Object.fromEntries(
          query.map(({ name, description, schema }) => [
            name,
            { ...(schema as object), ...(description && { description }) },
          ]),
        ),
      },
      example: {},
    } as Parameter,
  ];
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
