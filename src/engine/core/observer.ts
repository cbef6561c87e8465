import type { SparseCodes } from "./sparse-codes.ts";

/** Why a request was refused before it was encoded. */
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

/** Why a runtime process was started anew. */
export const RESTART_REASONS = ["crash", "watchdog"] as const;
export type RestartReason = (typeof RESTART_REASONS)[number];

/** What the engine reports as it works. The server turns it into metrics; tests record it. Must not throw. */
export interface EngineObserver {
  /**
   * A batch came back: its codes, and the seconds that it ran in the runtime process. Told batch by batch, so that
   * counting the rows of a large request never holds the others up for long.
   */
  batch(event: { readonly dictionary: string; readonly codes: SparseCodes; readonly seconds: number }): void;
  shed(event: { readonly dictionary: string; readonly reason: ShedReason }): void;
  restart(event: { readonly dictionary: string; readonly reason: RestartReason }): void;
  /** Rows that came into a queue (positive) or left one (negative). */
  queued(change: number): void;
}

/** Milliseconds that the stages of one request took: waiting, and in the runtime process. */
export interface StageTimes {
  readonly queue: number;
  readonly encode: number;
}
