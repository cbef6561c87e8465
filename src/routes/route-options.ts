import type { FastifyBaseLogger } from "fastify";
import type { Engine } from "../engine/engine.ts";
import type { IntakeLimits } from "./intake.ts";
import type { RowLimits } from "./wire/posted-rows.ts";

export interface Limits extends IntakeLimits, RowLimits {
  /** Bytes of one answer at most. */
  readonly maxAnswer: number;
}

/** What routes report. The server turns it into metrics. */
export interface RouteObserver {
  request(event: { readonly route: string; readonly status: number; readonly seconds: number }): void;
  stage(stage: "decode" | "queue" | "encode" | "steer" | "write", seconds: number): void;
  /** A body was refused because too many bytes are in flight. */
  shedBytes(): void;
}

export interface AppOptions {
  readonly engine: Engine;
  readonly limits: Limits;
  readonly observer: RouteObserver;
  readonly logger: FastifyBaseLogger;
  /** Prometheus text and its content type. */
  readonly metrics: { text(): Promise<string>; readonly contentType: string };
  readonly version: string;
}
