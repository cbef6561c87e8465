import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from "fastify";
import { Cancellation } from "../engine/core/cancellation.ts";
import type { Engine, RequestContext } from "../engine/engine.ts";
import type { Telemetry } from "../engine/core/telemetry.ts";
import type { Executions } from "./oip/infer-statistics.ts";
import type { IntakeLimits } from "./intake.ts";
import type { BodyLimits } from "../codecs/codec-error.ts";
import type { UnreadLimits } from "./unread-answers.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Cancellation of its work; null before any work. Cancelled when the response closes unfinished. */
    cancellation: Cancellation | null;
  }
}

/** A request's own cancellation. */
export const cancellationOf = (request: FastifyRequest): Cancellation => (request.cancellation ??= new Cancellation());

/** Makes the engine's context of a request: cancelled when its client disconnects, with its deadline. */
export function contextOf(
  request: FastifyRequest,
  reply: FastifyReply,
  engine: Engine,
  timeoutMs?: number,
): RequestContext {
  const cancellation = cancellationOf(request);
  // It may be gone already, while its body was parsed on another thread.
  if (reply.raw.destroyed) cancellation.cancel();
  return {
    span: request.span,
    cancellation,
    ...(timeoutMs !== undefined && { deadline: engine.now() - (performance.now() - request.started) + timeoutMs }),
  };
}

export interface Limits extends IntakeLimits, UnreadLimits, BodyLimits {
  /** Maximum open connections. */
  readonly maxConnections: number;
  /** Maximum bytes of one answer. */
  readonly maxAnswer: number;
  /** Maximum bytes of a line stream's answers that wait for a client which does not read. */
  readonly streamBuffer: number;
  /** Minimum bytes of a compressed answer, on `/v1` text only; 0: never. */
  readonly compressFrom: number;
}

export interface AppOptions {
  readonly engine: Engine;
  readonly limits: Limits;
  readonly telemetry: Telemetry;
  readonly logger: FastifyBaseLogger;
  readonly metrics: {
    /** Prometheus text. */
    text(): Promise<string>;
    readonly contentType: string;
    /** Batches that a dictionary's runtime has run, by size. */
    executions(dictionary: string): readonly Executions[];
    /** Shows the bytes that request bodies hold from now on. */
    showBodies(bodies: { readonly held: number }, limit: number): void;
    /** Shows a route's series before its first request. */
    showRoute(route: string): void;
  };
  readonly version: string;
}
