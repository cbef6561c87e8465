/**
 * Faults the engine can answer with. They know nothing of HTTP: `routes/` holds the one table from code to status.
 * Each is documented in docs/errors.md, which a test checks.
 */
export const ENGINE_ERROR_CODES = [
  "PURSUIT_DICTIONARY_NOT_FOUND",
  "PURSUIT_DICTIONARY_FAILED",
  "PURSUIT_MEMORY_FULL",
  "PURSUIT_BEING_REPLACED",
  "PURSUIT_FEATURE_NOT_FOUND",
  "PURSUIT_NO_LABELS",
  "PURSUIT_WRONG_WIDTH",
  "PURSUIT_NOT_FINITE",
  "PURSUIT_BUDGET_OUT_OF_RANGE",
  "PURSUIT_ENCODER_UNAVAILABLE",
  "PURSUIT_ROLE_MISMATCH",
  "PURSUIT_NOT_TRANSFERABLE",
  "PURSUIT_INVALID_CODE",
  "PURSUIT_INVALID_EDIT",
  "PURSUIT_STEERING_SET_NOT_FOUND",
  "PURSUIT_STEERING_SET_STALE",
  "PURSUIT_STATE_FULL",
  "PURSUIT_PRECONDITION_FAILED",
  "PURSUIT_STATE_FAILED",
  "PURSUIT_ANSWER_TOO_LARGE",
  "PURSUIT_QUEUE_FULL",
  "PURSUIT_NOT_READY",
  "PURSUIT_DRAINING",
  "PURSUIT_TIMEOUT",
  "PURSUIT_CLIENT_CLOSED",
  "PURSUIT_RUNTIME_CRASHED",
  "PURSUIT_INTERNAL",
] as const;

export type EngineErrorCode = (typeof ENGINE_ERROR_CODES)[number];

/** A fault with a stable code and a sentence that says what, where and what to do. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly code: EngineErrorCode;
  /** Seconds after which a retry may succeed, for codes that say "later". */
  readonly retryAfter: number | undefined;

  constructor(code: EngineErrorCode, message: string, options: { cause?: unknown; retryAfter?: number } = {}) {
    const { stackTraceLimit } = Error;
    // Where a refusal came from says nothing, and thousands a second are made when there is the least time for it.
    if (code === "PURSUIT_QUEUE_FULL") Error.stackTraceLimit = 0;
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    Error.stackTraceLimit = stackTraceLimit;
    this.code = code;
    this.retryAfter = options.retryAfter;
  }
}

/** The answer that nobody waits for. */
export const clientClosed = (): EngineError =>
  new EngineError("PURSUIT_CLIENT_CLOSED", "The client closed the connection.");
