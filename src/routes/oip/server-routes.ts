import Type from "typebox";
import type { AppOptions } from "../route-options.ts";
import { sendJson } from "./v2-answer.ts";
import type { V2Route } from "./v2-route.ts";

/** Supported extensions of the protocol, by Triton's names. */
export const EXTENSIONS = [
  "binary_tensor_data",
  "parameters",
  "model_configuration",
  "model_repository",
  "statistics",
] as const;

const ReadySchema = Type.Object({ live: Type.Boolean(), ready: Type.Optional(Type.Boolean()) });

/** Seconds after which an unready server may be ready. */
const RETRY_AFTER = 1;

/** GET /v2, /v2/health/live, /v2/health/ready. */
export function serverRoutes({ engine, version }: Pick<AppOptions, "engine" | "version">): readonly V2Route[] {
  return [
    {
      method: "GET",
      path: "/",
      summary: "Name, version and extensions of the server",
      operationId: "v2Server",
      answer: Type.Object({ name: Type.String(), version: Type.String(), extensions: Type.Array(Type.String()) }),
      handle: (_request, reply) => sendJson(reply, { name: "pursuit", version, extensions: EXTENSIONS }),
    },
    {
      method: "GET",
      path: "/health/live",
      summary: "Whether the process answers",
      operationId: "v2Live",
      answer: ReadySchema,
      handle: (_request, reply) => sendJson(reply, { live: true }),
    },
    {
      method: "GET",
      path: "/health/ready",
      summary: "Whether requests can be answered; 503 if not",
      operationId: "v2Ready",
      answer: ReadySchema,
      handle: (_request, reply) => {
        const { ready, reason } = engine.readiness();
        if (ready) return sendJson(reply, { live: true, ready });
        void reply.code(503).header("retry-after", RETRY_AFTER);
        return sendJson(reply, { live: true, ready, error: reason ?? "The server is not ready." });
      },
    },
  ];
}
