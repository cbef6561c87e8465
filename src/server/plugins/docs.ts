import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance } from "fastify";
import { ProblemSchema } from "../../routes/v1/schemas.ts";

/** Describes the routes that are registered after it: the OpenAPI document, and the page at /docs that shows it. */
export async function registerDocs(app: FastifyInstance, { version }: { readonly version: string }): Promise<void> {
  app.addSchema(ProblemSchema);
  await app.register(swagger, {
    refResolver: { buildLocalReference: ({ $id }) => $id as string },
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Pursuit",
        version,
        description: "Sparse codes of activation vectors by matching pursuit, with a budget per request and per row.",
        license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      },
      components: {
        securitySchemes: {
          key: {
            type: "http",
            scheme: "bearer",
            description: "Asked for where PURSUIT_API_KEYS is set; never by health",
          },
        },
      },
      security: [{}, { key: [] }],
      tags: [
        { name: "dictionaries", description: "Rows to codes and back" },
        { name: "steering", description: "Rows edited by their features, and named sets of edits" },
        { name: "open inference protocol", description: 'As Triton and KServe speak it; errors are {"error"}' },
        { name: "operations", description: "Health and metrics" },
      ],
    },
  });
  await app.register(async (pages) => {
    pages.addHook("onRoute", (route) => {
      route.config = { ...route.config, page: true };
    });
    await pages.register(swaggerUi, {
      routePrefix: "/docs",
      indexPrefix: "",
      // The page forgets a key when it is closed.
      uiConfig: { layout: "BaseLayout", persistAuthorization: false },
    });
  });
}
