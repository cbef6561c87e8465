import { FLOAT_BYTES } from "../engine/core/float-formats.ts";
import { type Dtype, DTYPES } from "./array-data.ts";
import type { BodyForm } from "./body-form.ts";
import { invalid, named } from "./posted-rows.ts";
import { fieldsOfQuery } from "./query-fields.ts";
import { WireError } from "./codec-error.ts";

const COUNT = /^\d{1,10}$/;

/**
 * A body of nothing but numbers, row-major and little-endian, as the object that another codec would have held: `inputs`
 * around the same bytes, the other fields from the query.
 * @throws WireError PURSUIT_INVALID_FIELD, PURSUIT_WRONG_LENGTH
 */
export function parseOctets(
  bytes: Uint8Array,
  { query, width }: Extract<BodyForm, { type: "octet-stream" }>,
): Record<string, unknown> {
  const { dtype, rows, ...rest } = query;
  if (typeof dtype !== "string" || !Object.hasOwn(DTYPES, dtype)) {
    const said = dtype === undefined ? "it is missing" : `it is ${named(String(dtype))}`;
    throw invalid(`dtype in the query must be one of ${Object.keys(DTYPES).join(", ")}; ${said}.`);
  }
  if (typeof rows !== "string" || !COUNT.test(rows) || Number(rows) === 0) {
    const said = rows === undefined ? "it is missing" : `it is ${named(String(rows))}`;
    throw invalid(`rows in the query must be the number of rows, 1 or more; ${said}.`);
  }
  const count = Number(rows);
  const size = FLOAT_BYTES[DTYPES[dtype as Dtype]];
  const columns = width ?? bytes.length / (count * size);
  const expected = count * columns * size;
  if (bytes.length !== expected || !Number.isInteger(columns)) {
    throw new WireError("PURSUIT_WRONG_LENGTH", wrongLength({ bytes: bytes.length, count, width, dtype, size }));
  }
  return { ...fieldsOfQuery(rest), inputs: { data: bytes, dtype, shape: [count, columns] } };
}

interface Length {
  readonly bytes: number;
  readonly count: number;
  readonly width: number | null;
  readonly dtype: string;
  readonly size: number;
}

function wrongLength({ bytes, count, width, dtype, size }: Length): string {
  if (width === null)
    return `The body is ${bytes} bytes, which is no whole number of ${dtype} in each of ${count} rows.`;
  const expected = count * width * size;
  const said = `The body is ${bytes} bytes; ${count} rows of ${width} in ${dtype} take ${expected}.`;
  if (bytes === expected * 2 && dtype === "float32") {
    return `${said} It is twice as long, as float64 is: convert it, or say dtype=float64.`;
  }
  if (bytes * 2 === expected) return `${said} It is half as long: is it of another dtype?`;
  if (bytes % (width * size) === 0) return `${said} It holds ${bytes / (width * size)} such rows: is rows right?`;
  return said;
}
