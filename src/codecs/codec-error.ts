import type { EngineErrorCode } from "../engine/core/errors.ts";
import type { Rows } from "../engine/core/rows.ts";

/** Codes of faults in a request's form, found before the engine sees it. docs/errors.md describes each. */
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

/** These, and codes of the engine that the body alone can cause. */
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

/** Posted rows: `shape` is [n, d], or [batch, seq, d] flattened into n = batch · seq. */
export interface PostedRows extends Rows {
  readonly shape: readonly number[];
}

export interface RowLimits {
  readonly maxRows: number;
}

/** Limits on one body. */
export interface BodyLimits extends RowLimits {
  /** Maximum bytes of memory of its parsed lists, objects and texts. */
  readonly maxUnpacked: number;
}

export function checkCount(count: number, { maxRows }: RowLimits, field: string): void {
  if (count > maxRows) throw tooManyRows(field, String(count), maxRows);
}

/** @param count as shown in the error */
export function tooManyRows(field: string, count: string, maxRows: number): WireError {
  const message = `${field} holds ${count} rows; at most ${maxRows} are taken at once. Send them in parts.`;
  return new WireError("PURSUIT_TOO_MANY_ROWS", message);
}

export function describe(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (typeof value === "object") return "an object";
  // NaN too, which JSON cannot express.
  if (typeof value === "number") return String(value);
  const text = JSON.stringify(value);
  return text.length > 40 ? `a ${typeof value}` : text;
}

/** Quotes a client's field name, cut because it may be a megabyte. */
export const named = (key: string): string => JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key);

export const invalid = (message: string): WireError => new WireError("PURSUIT_INVALID_FIELD", message);
