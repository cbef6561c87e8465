import type { FastifyReply, FastifyRequest } from "fastify";
import type { AppOptions, RouteObserver } from "./route-options.ts";

/** Milliseconds of the stages of one answered request, in their order. */
export type Stages = Readonly<Partial<Record<Parameters<RouteObserver["stage"]>[0], number>>>;

/** To the metrics, and with the total to the client as Server-Timing (W3C), in milliseconds to the microsecond. */
export function reportStages(
  request: FastifyRequest,
  reply: FastifyReply,
  { observer }: Pick<AppOptions, "observer">,
  stages: Stages,
): void {
  const times = Object.entries(stages);
  for (const [stage, milliseconds] of times) observer.stage(stage as keyof Stages, milliseconds / 1000);
  const total = performance.now() - request.started;
  const timing = [...times, ["total", total] as const].map(
    ([name, milliseconds]) => `${name};dur=${milliseconds.toFixed(3)}`,
  );
  void reply.header("server-timing", timing.join(", "));
}
