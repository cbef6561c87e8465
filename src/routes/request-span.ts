import type { FastifyInstance, FastifyRequest } from "fastify";
import type { RequestSpan, Stage, TelemetryEvent } from "../engine/core/telemetry.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Identifies it in telemetry events. */
    span: HttpSpan;
  }
}

/** Path of a request, safe to log and answer: a query, or a user name in a whole URL, may hold a key. */
export const pathOf = ({ url }: Pick<FastifyRequest, "url">): string =>
  url.replace(/^[a-z]+:\/\/[^/?#]*/i, "").replace(/[?#].*$/s, "") || "/";

/** Patterns of routes, by Fastify's URLs. */
const patterns = new Map<string, string>();

/** The pattern that telemetry names a route by, such as `/v1/dictionaries/{id}`. @param url Fastify's */
export function patternOf(url: string): string {
  let pattern = patterns.get(url);
  if (pattern === undefined) patterns.set(url, (pattern = url.replace(/:(\w+)/g, "{$1}")));
  return pattern;
}

/** Span of an HTTP request. Sums the times of its stages. */
export class HttpSpan implements RequestSpan {
  traceparent?: string;
  readonly tracestate?: string;
  /** Milliseconds of each finished stage, in order of its first end. */
  readonly times: Partial<Record<Stage, number>> = {};
  readonly #request: FastifyRequest;

  constructor(request: FastifyRequest) {
    this.#request = request;
    const { traceparent, tracestate } = request.headers;
    if (typeof traceparent === "string") this.traceparent = traceparent;
    if (typeof tracestate === "string") this.tracestate = tracestate;
  }

  get requestId(): string {
    return this.#request.id;
  }

  get method(): string {
    return this.#request.method;
  }

  get path(): string {
    return pathOf(this.#request);
  }

  /** The route's pattern, never the path: clients must not be able to create labels. */
  get route(): string {
    const { url } = this.#request.routeOptions;
    return url === undefined ? "unmatched" : patternOf(url);
  }
}

/** Adds a stage of an HTTP request to its span. Subscribe it first. */
export function addTimes(event: TelemetryEvent): void {
  if (event.type !== "stage" || !(event.span instanceof HttpSpan)) return;
  const { times } = event.span;
  times[event.stage] = (times[event.stage] ?? 0) + event.end - event.start;
}

/**
 * Adds `server-timing` (W3C Server-Timing) to answers written by a stage: milliseconds to the microsecond, the total
 * last.
 */
export function registerServerTiming(app: FastifyInstance): void {
  app.addHook("onSend", ({ span, started }, reply, payload, next) => {
    const { times } = span;
    if (times.write !== undefined) {
      const total = performance.now() - started;
      const named = [...Object.entries(times), ["total", total] as const];
      void reply.header("server-timing", named.map(([name, time]) => `${name};dur=${time.toFixed(3)}`).join(", "));
    }
    next(null, payload);
  });
}
