import type { EngineErrorCode } from "../engine/core/errors.ts";

/** Faults of a request's form, found before the engine sees it. docs/errors.md describes each. */
export const WIRE_ERROR_CODES = [
  "PURSUIT_MALFORMED_BODY",
  "PURSUIT_NAN_TOKEN",
  "PURSUIT_WRONG_LENGTH",
  "PURSUIT_INVALID_FIELD",
  "PURSUIT_TOO_DEEP",
  "PURSUIT_TOO_MANY_ROWS",
  "PURSUIT_BODY_TOO_LARGE",
  "PURSUIT_BODY_STALLED",
  "PURSUIT_BYTES_IN_FLIGHT",
  "PURSUIT_ANSWERS_UNREAD",
  "PURSUIT_TOO_MANY_CONNECTIONS",
  "PURSUIT_HEAD_TOO_LARGE",
  "PURSUIT_UNAUTHORIZED",
  "PURSUIT_FORBIDDEN",
  "PURSUIT_ORIGIN_REFUSED",
  "PURSUIT_HOST_REFUSED",
  "PURSUIT_RATE_LIMITED",
  "PURSUIT_UNSUPPORTED_MEDIA_TYPE",
  "PURSUIT_NOT_ACCEPTABLE",
  "PURSUIT_ROUTE_NOT_FOUND",
  "PURSUIT_BAD_REQUEST",
  "PURSUIT_METHOD_NOT_ALLOWED",
] as const;

export type WireErrorCode = (typeof WIRE_ERROR_CODES)[number];

/** Also the engine's codes that can be told from the body alone. */
export type WireFaultCode =
  | WireErrorCode
  | Extract<
      EngineErrorCode,
      "PURSUIT_WRONG_WIDTH" | "PURSUIT_NOT_FINITE" | "PURSUIT_INVALID_CODE" | "PURSUIT_ANSWER_TOO_LARGE"
    >;

/** An error as data. */
export interface WireFault {
  readonly code: WireFaultCode;
  readonly message: string;
}

export class WireError extends Error {
  override readonly name = "WireError";
  readonly code: WireFaultCode;
  /** Seconds after which a retry may succeed, for codes that say "later". */
  readonly retryAfter: number | undefined;

  constructor(code: WireFaultCode, message: string, retryAfter?: number) {
    super(message);
    this.code = code;
    this.retryAfter = retryAfter;
  }
}
