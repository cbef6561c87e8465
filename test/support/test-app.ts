import type { FastifyInstance } from "fastify";
import type { Limits } from "../../src/routes/request-context.ts";
import { buildApp, type ServerOptions } from "../../src/server/app.ts";
import { createLogger, logRequests } from "../../src/server/logger.ts";
import { FakeEngine } from "./fake-engine.ts";

export interface TestApp {
  readonly app: FastifyInstance;
  /** Its level may be set. */
  readonly logger: { level: string };
  readonly engine: FakeEngine;
  /** What the routes reported, in order. */
  readonly requests: { readonly route: string; readonly status: number; readonly seconds: number }[];
  readonly stages: string[];
  /** Lines logged, parsed. */
  readonly logged: Record<string, unknown>[];
}

/** The HTTP application over a fake engine, for app.inject: no socket. */
export async function testApp(
  limits: Partial<Limits> = {},
  access: Partial<ServerOptions["access"]> = {},
  engine = new FakeEngine(),
  explorer?: string,
): Promise<TestApp> {
  const requests: TestApp["requests"] = [];
  const stages: string[] = [];
  const logged: Record<string, unknown>[] = [];
  const logger = createLogger("info", [...(access.apiKeys ?? []), ...(access.adminKeys ?? [])], {
    write: (line) => logged.push(JSON.parse(line) as Record<string, unknown>),
  });
  engine.telemetry.subscribe(logRequests(logger));
  engine.telemetry.subscribe((event) => {
    if (event.type === "stage") stages.push(event.stage);
    if (event.type === "shed") stages.push("shed");
    if (event.type !== "request_ended") return;
    const { request, status, start, end } = event;
    requests.push({ route: request.route, status, seconds: (end - start) / 1000 });
  });
  const app = await buildApp({
    engine,
    limits: {
      maxBody: 1 << 20,
      maxBytesInFlight: 1 << 22,
      stallMs: 60_000,
      minRate: 1024,
      maxConnections: 1000,
      maxUnread: 1 << 24,
      maxRows: 100,
      maxUnpacked: 1 << 26,
      maxAnswer: 1 << 20,
      streamBuffer: 1 << 20,
      compressFrom: 1 << 14,
      ...limits,
    },
    telemetry: engine.telemetry,
    logger,
    ...(explorer !== undefined && { explorer }),
    access: { apiKeys: [], adminKeys: [], corsOrigins: [], allowedHosts: ["*"], rateLimit: 0, ...access },
    metrics: {
      text: () => Promise.resolve("pursuit_up 1\n"),
      showBodies: () => {},
      showRoute: () => {},
      contentType: "text/plain; version=0.0.4; charset=utf-8",
      executions: (dictionary) => (dictionary === "small" ? [{ rows: 2, count: 3, seconds: 0.5 }] : []),
    },
    version: "0.0.0-test",
  });
  await app.ready();
  return { app, logger, engine, requests, stages, logged };
}
