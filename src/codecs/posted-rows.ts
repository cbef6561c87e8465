import type { Rows } from "../engine/core/rows.ts";
import { WireError } from "./codec-error.ts";

/** Rows as they were posted: `shape` is [n, d], or [batch, seq, d] flattened into n = batch · seq. */
export interface PostedRows extends Rows {
  readonly shape: readonly number[];
}

export interface RowLimits {
  readonly maxRows: number;
}

/** Limits on what is read of one body. */
export interface BodyLimits extends RowLimits {
  /** Bytes of memory that its lists, objects and texts may take once they are read. */
  readonly maxUnpacked: number;
}

export function checkCount(count: number, { maxRows }: RowLimits, field: string): void {
  if (count > maxRows) throw tooManyRows(field, String(count), maxRows);
}

/** @param count as the error says it */
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
  // Also NaN, which JSON has no word for.
  if (typeof value === "number") return String(value);
  const text = JSON.stringify(value);
  return text.length > 40 ? `a ${typeof value}` : text;
}

/** A field name as a client made it up: in quotes, and cut, since it may be a megabyte. */
export const named = (key: string): string => JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key);

export const invalid = (message: string): WireError => new WireError("PURSUIT_INVALID_FIELD", message);
