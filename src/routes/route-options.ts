import type { FastifyBaseLogger } from "fastify";
import type { Telemetry } from "../engine/core/telemetry.ts";
import type { Engine } from "../engine/engine.ts";
import type { Executions } from "./oip/infer-statistics.ts";
import type { IntakeLimits } from "./intake.ts";
import type { BodyLimits } from "../codecs/codec-error.ts";
import type { UnreadLimits } from "./unread-answers.ts";

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
  };
  readonly version: string;
}
