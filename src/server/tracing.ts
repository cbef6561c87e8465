import type * as Api from "@opentelemetry/api";
import type { Context, HrTime, Span as OtelSpan, TextMapGetter, TextMapPropagator, Tracer } from "@opentelemetry/api";
import type { Logger } from "pino";
import type { RequestSpan, Span, Telemetry, TelemetryEvent } from "../engine/core/telemetry.ts";

export interface TracingOptions {
  /** `OTEL_EXPORTER_OTLP_HEADERS`: what the collector asks for, such as a key. */
  readonly headers: string;
  readonly version: string;
  readonly logger: Pick<Logger, "warn">;
}

/** Milliseconds that the last spans have to reach the collector when the server stops. */
const LAST_EXPORT = 2_000;

/** Milliseconds that the wall clock and the monotonic one may drift apart before spans follow the wall clock again. */
const DRIFT = 10;

/** Milliseconds between two log lines about a collector that does not answer. */
const QUIET = 60_000;

/**
 * Exports spans of requests and batches by OTLP over HTTP. OpenTelemetry is loaded here and nowhere else; it reads its own
 * variables, `OTEL_EXPORTER_OTLP_ENDPOINT` and `OTEL_TRACES_SAMPLER` among them.
 * @returns ends the export; resolves when the last spans are sent or given up
 */
export async function startTracing(telemetry: Telemetry, options: TracingOptions): Promise<() => Promise<void>> {
  const [api, core, resources, sdk, { OTLPTraceExporter }] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/core"),
    import("@opentelemetry/resources"),
    import("@opentelemetry/sdk-trace-base"),
    import("@opentelemetry/exporter-trace-otlp-http"),
  ]);
  const { version, logger } = options;
  let said = -Infinity;
  const warn = (message: string): void => {
    if (performance.now() - said < QUIET) return;
    said = performance.now();
    logger.warn(`Traces could not be exported: ${message}`);
  };
  const ignore = (): void => {};
  api.diag.setLogger({ error: warn, warn, info: ignore, debug: ignore, verbose: ignore }, api.DiagLogLevel.WARN);
  const provider = new sdk.BasicTracerProvider({
    resource: resources
      .defaultResource()
      .merge(resources.resourceFromAttributes({ "service.name": "pursuit", "service.version": version }))
      .merge(resources.detectResources({ detectors: [resources.envDetector] })),
    spanProcessors: [
      new sdk.BatchSpanProcessor(new OTLPTraceExporter({ headers: core.parseKeyPairsIntoRecord(options.headers) })),
    ],
  });
  const traces = new Traces(provider.getTracer("pursuit", version), {
    api,
    propagator: new core.W3CTraceContextPropagator(),
  });
  telemetry.subscribe((event) => traces.take(event));
  return () => Promise.race([provider.shutdown(), new Promise<void>((done) => setTimeout(done, LAST_EXPORT))]);
}

/** Routes that machines ask every few seconds. */
const UNTRACED = new Set(["/metrics", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"]);

/** Trace flags are the last byte of a `traceparent`; its lowest bit says that the trace is recorded. */
const isRecorded = ({ traceparent }: Span): boolean =>
  traceparent !== undefined && (Number.parseInt(traceparent.slice(-2), 16) & 1) === 1;

const getter: TextMapGetter<Pick<RequestSpan, "traceparent" | "tracestate">> = {
  keys: (carrier) => Object.keys(carrier),
  get: (carrier, key) => (key === "traceparent" || key === "tracestate" ? carrier[key] : undefined),
};

/**
 * Makes spans of telemetry events:
 *
 *     POST /v1/dictionaries/{id}/encode    the request, below the client's span
 *     ├─ decode, queue, encode, write      its stages
 *     └─ batch                             below the first traced request of the batch, linked to all, and they to it
 *        └─ runtime                        inside the runtime process
 */
class Traces {
  readonly #tracer: Tracer;
  readonly #api: typeof Api;
  readonly #propagator: TextMapPropagator;
  /** Spans of requests and batches that have not ended. */
  readonly #open = new WeakMap<Span, OtelSpan>();
  /** Milliseconds since 1970 at 0 of `performance.now()`. The SDK's own takes each span's anew, to a millisecond only. */
  #origin = performance.timeOrigin;

  constructor(
    tracer: Tracer,
    { api, propagator }: { readonly api: typeof Api; readonly propagator: TextMapPropagator },
  ) {
    this.#tracer = tracer;
    this.#api = api;
    this.#propagator = propagator;
  }

  take(event: TelemetryEvent): void {
    switch (event.type) {
      case "request_started":
        return this.#startRequest(event);
      case "request_ended":
        return this.#endRequest(event);
      case "batch_started":
        return this.#startBatch(event);
      case "batch_ended":
        return this.#end(event.batch, event.end, event.result === null);
      case "stage": {
        const { stage, span, start, end } = event;
        if (isRecorded(span))
          this.#tracer.startSpan(stage, { startTime: this.#time(start) }, this.#contextOf(span)).end(this.#time(end));
        return;
      }
      case "queued":
      case "restart":
      case "shed":
    }
  }

  #startRequest({ request, at }: TelemetryEvent & { readonly type: "request_started" }): void {
    const { requestId, method, path, route } = request;
    if (UNTRACED.has(route)) return;
    const drift = Date.now() - performance.now() - this.#origin;
    if (Math.abs(drift) > DRIFT) this.#origin += drift;
    const attributes = {
      "http.request.method": method,
      "http.route": route,
      "url.path": path,
      "pursuit.request_id": requestId,
    };
    const kind = this.#api.SpanKind.SERVER;
    this.#start(
      request,
      `${method} ${route}`,
      { kind, startTime: this.#time(at), attributes },
      this.#contextOf(request),
    );
  }

  #endRequest({ request, status, end }: TelemetryEvent & { readonly type: "request_ended" }): void {
    this.#open.get(request)?.setAttribute("http.response.status_code", status);
    this.#end(request, end, status >= 500);
  }

  #startBatch({ batch, at }: TelemetryEvent & { readonly type: "batch_started" }): void {
    const [first, ...others] = batch.requests.filter(isRecorded);
    if (first === undefined) return;
    const { trace } = this.#api;
    const links = [first, ...others].flatMap((request) => {
      const context = trace.getSpanContext(this.#contextOf(request));
      return context === undefined ? [] : { context };
    });
    const attributes = { "pursuit.dictionary": batch.dictionary, "pursuit.batch.rows": batch.rows };
    const span = this.#start(batch, "batch", { startTime: this.#time(at), links, attributes }, this.#contextOf(first));
    for (const request of others) this.#open.get(request)?.addLink({ context: span.spanContext() });
  }

  /** Starts a span, and makes it the trace context of what it is of. */
  #start(of: Span, name: string, options: Parameters<Tracer["startSpan"]>[1], parent: Context): OtelSpan {
    const span = this.#tracer.startSpan(name, options, parent);
    const { traceId, spanId, traceFlags } = span.spanContext();
    of.traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
    this.#open.set(of, span);
    return span;
  }

  #end(of: Span, at: number, failed: boolean): void {
    const span = this.#open.get(of);
    if (span === undefined) return;
    if (failed) span.setStatus({ code: this.#api.SpanStatusCode.ERROR });
    span.end(this.#time(at));
    this.#open.delete(of);
  }

  #time(at: number): HrTime {
    const milliseconds = this.#origin + at;
    const seconds = Math.floor(milliseconds / 1000);
    return [seconds, Math.round((milliseconds - seconds * 1000) * 1e6)];
  }

  #contextOf(span: Span): Context {
    return this.#propagator.extract(this.#api.ROOT_CONTEXT, span, getter);
  }
}
