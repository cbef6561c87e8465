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
  "PURSUIT_NO_STATISTICS",
  "PURSUIT_NO_EXAMPLES",
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
  "PURSUIT_STATE_DISK_FULL",
  "PURSUIT_PRECONDITION_FAILED",
  "PURSUIT_STATE_FAILED",
  "PURSUIT_STATE_UNAVAILABLE",
  "PURSUIT_LABEL_NOT_FOUND",
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

/**
 * What a {@link Fault} is about. `settings`: of the server. `import`: what was given to import. `missing_flags`:
 * an import that needs flags, one a fault after the first. `broken`: a dictionary's folder. `memory_limit`: the memory limit
 * leaves no room for a dictionary. `shortage`: the system lacks descriptors, processes or memory, and may have them later.
 * `memory`: a runtime process ran out of memory. `runtime`: the runtime refused to load a dictionary.
 */
export type FaultCode =
  | "settings"
  | "import"
  | "missing_flags"
  | "broken"
  | "memory_limit"
  | "shortage"
  | "memory"
  | "runtime";

/** Faults that a person reads at a prompt: a line each. */
const ON_LINES: ReadonlySet<FaultCode> = new Set<FaultCode>(["settings", "import", "missing_flags"]);

/** A start, a load or a command that cannot go on. All reasons found, a sentence each: what, where, what to do. */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly code: FaultCode;
  readonly faults: readonly string[];

  constructor(code: FaultCode, faults: readonly string[]) {
    super(faults.join(ON_LINES.has(code) ? "\n" : " "));
    this.code = code;
    this.faults = faults;
  }
}

/** Whether the system refused something, by an error code of its own. */
export const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && "code" in error && !(error instanceof Fault || error instanceof EngineError);

/** Error for a client that disconnected. */
export const clientClosed = (): EngineError =>
  new EngineError("PURSUIT_CLIENT_CLOSED", "The client closed the connection.");

/** What the system lacks, by its error code, with the limit to raise. */
const SHORTAGES: Readonly<Record<string, string>> = {
  EMFILE: "no file descriptor is free (EMFILE); raise ulimit -n",
  ENFILE: "the machine has no free file descriptor (ENFILE)",
  EAGAIN: "no further process or thread is allowed (EAGAIN); raise ulimit -u or the container's pids limit",
  ENOMEM: "no memory is free (ENOMEM)",
};

/** What the system says of the same in errors that carry no code of their own. */
const CODE_IN_TEXT = /\b(?:EMFILE|ENFILE|EAGAIN|ENOMEM)\b/;
const NO_THREAD = /Resource temporarily unavailable/;

/**
 * The shortage that an error tells of; null where it is another fault. What failed by a shortage may succeed later: try
 * again, or tell the caller to.
 */
export function shortageOf(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const { code = "", message } = error as NodeJS.ErrnoException;
  const inText = NO_THREAD.test(message) ? "EAGAIN" : CODE_IN_TEXT.exec(message)?.[0];
  return SHORTAGES[code] ?? SHORTAGES[inText ?? ""] ?? null;
}
