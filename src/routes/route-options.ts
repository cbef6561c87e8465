import type { FastifyBaseLogger } from "fastify";
import type { Telemetry } from "../engine/core/telemetry.ts";
import type { Engine } from "../engine/engine.ts";
import type { Executions } from "./oip/infer-statistics.ts";
import type { IntakeLimits } from "./intake.ts";
import type { BodyLimits } from "../codecs/codec-error.ts";
import type { UnreadLimits } from "./unread-answers.ts";

export interface Limits extends IntakeLimits, UnreadLimits, BodyLimits {
  /** Connections at once, at most. */
  readonly maxConnections: number;
  /** Bytes of one answer at most. */
  readonly maxAnswer: number;
  /** Bytes of answers to a stream of lines that wait for a client which does not read them yet, at most. */
  readonly streamBuffer: number;
  /** Bytes from which an answer is compressed, on `/v1` if it is text; 0 is never. */
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
  };
  readonly version: string;
}
