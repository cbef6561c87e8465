import type { RequestEncoderKind } from "./dictionary.ts";
import type { SparseCodes } from "./sparse-codes.ts";

/** Why a request was refused, or given up, before it was encoded. */
export const SHED_REASONS = [
  "queue_full",
  "deadline",
  "timeout",
  "client_closed",
  "draining",
  "bytes_in_flight",
  "unread_answers",
  "connections",
] as const;
export type ShedReason = (typeof SHED_REASONS)[number];

/** Why a runtime process was restarted. */
export const RESTART_REASONS = ["crash", "watchdog"] as const;
export type RestartReason = (typeof RESTART_REASONS)[number];

/**
 * Stages of a request: `decode` reads its body, `queue` waits for the first batch, `encode` lasts until the last batch is
 * back, `steer` edits rows, `write` writes the answer's body. `batch` is one batch with its way to the runtime process and
 * back, `runtime` one call inside that process.
 */
export type Stage = "decode" | "queue" | "encode" | "steer" | "write" | "batch" | "runtime";

/** A piece of work that stages belong to. */
export interface Span {
  /** W3C trace context. Of a request: the client's, until tracing replaces it by that of the request's own span. */
  traceparent?: string;
}

/** One HTTP request. */
export interface RequestSpan extends Span {
  readonly requestId: string;
  readonly method: string;
  /** Without its query, which may hold a key. */
  readonly path: string;
  /** Pattern of its route. */
  readonly route: string;
  readonly tracestate?: string;
}

/** Rows that run together in one call of a runtime process. */
export interface BatchSpan extends Span {
  readonly dictionary: string;
  /** What encodes them: the dictionary's own encoder, or a pursuit that requests named. */
  readonly encoder: "own" | RequestEncoderKind;
  readonly rows: number;
  /** Of the requests that the rows belong to. */
  readonly requests: readonly Span[];
}

/** Milliseconds on the clock of `performance.now()`. */
export interface Interval {
  readonly start: number;
  readonly end: number;
}

/** Codes of a batch that did not fail, and the milliseconds that it ran in the runtime process. */
export interface BatchResult {
  readonly codes: SparseCodes;
  readonly milliseconds: number;
}

export type TelemetryEvent =
  | { readonly type: "request_started"; readonly request: RequestSpan; readonly at: number }
  | ({ readonly type: "request_ended"; readonly request: RequestSpan; readonly status: number } & Interval)
  | { readonly type: "batch_started"; readonly batch: BatchSpan; readonly at: number }
  | ({ readonly type: "batch_ended"; readonly batch: BatchSpan; readonly result: BatchResult | null } & Interval)
  /** Of a dictionary, where the stage works for one. */
  | ({ readonly type: "stage"; readonly stage: Stage; readonly span: Span; readonly dictionary?: string } & Interval)
  /** Of a dictionary's queue; without one, refused before it was known. */
  | { readonly type: "shed"; readonly reason: ShedReason; readonly dictionary?: string }
  | { readonly type: "restart"; readonly dictionary: string; readonly reason: RestartReason }
  /** Rows entered a queue (positive) or left one (negative). */
  | { readonly type: "queued"; readonly dictionary: string; readonly rows: number };

/** Receives every event, as it happens. Must not throw. */
export type Subscriber = (event: TelemetryEvent) => void;

/** The one stream of events that metrics, traces, `server-timing` and the log are made of. */
export class Telemetry {
  readonly #subscribers: Subscriber[] = [];

  subscribe(subscriber: Subscriber): void {
    this.#subscribers.push(subscriber);
  }

  emit(event: TelemetryEvent): void {
    for (const subscriber of this.#subscribers) subscriber(event);
  }

  /** Emits a stage that ends now. @param start `performance.now()` when it began */
  stage(stage: Stage, span: Span, start: number): void {
    this.emit({ type: "stage", stage, span, start, end: performance.now() });
  }
}
