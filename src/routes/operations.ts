import type { FastifyInstance } from "fastify";
import Type from "typebox";
import { describeRoute } from "./v1/describe-route.ts";
import type { AppOptions } from "./request-context.ts";
import { HealthSchema } from "./v1/dictionary-schemas.ts";

const tag = "operations";

/** Operational routes: health, metrics, the server's description. */
export function registerOperations(app: FastifyInstance, { engine, metrics }: AppOptions): void {
  app.get(
    "/health/live",
    {
      schema: describeRoute({ summary: "Whether the process answers", operationId: "live", answer: HealthSchema, tag }),
    },
    () => ({ status: "live" }),
  );

  app.get(
    "/health/ready",
    {
      schema: describeRoute({
        summary:
          "Whether all dictionaries (with PURSUIT_READY=any: one) have encoded a row and the server does not drain; 503 if not",
        operationId: "ready",
        answer: HealthSchema,
        others: { 503: HealthSchema },
        tag,
      }),
    },
    async (_request, reply) => {
      const { ready, reason, missing } = engine.readiness();
      if (!ready) void reply.code(503).header("retry-after", 1);
      return {
        status: ready ? "ready" : "not ready",
        ...(reason !== undefined && { reason }),
        ...(missing !== undefined && {
          dictionaries: missing.map(({ id, state, faults, runtimeState }) => ({
            id,
            state,
            ...(runtimeState !== undefined && { runtime_state: runtimeState }),
            faults,
          })),
        }),
      };
    },
  );

  app.get(
    "/metrics",
    {
      schema: describeRoute({
        summary: "Prometheus metrics",
        operationId: "metrics",
        answer: Type.String(),
        contentType: "text/plain",
        problems: [401, 429],
        tag,
      }),
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()),
  );

  app.get("/openapi.json", { schema: { hide: true } }, () => app.swagger());
}
