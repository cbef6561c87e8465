import { decodeFloats, FLOAT_BYTES, type FloatType } from "../../engine/float-formats.ts";
import { checkCount, describe, invalid, named, type PostedRows, type RowLimits } from "./posted-rows.ts";
import { WireError } from "./wire-error.ts";

/** Names of number formats on the wire: numpy's and PyTorch's. */
export const DTYPES = { float32: "F32", float64: "F64", float16: "F16", bfloat16: "BF16" } as const satisfies Record<
  string,
  FloatType
>;
export type Dtype = keyof typeof DTYPES;

const FIELDS = new Set(["data", "dtype", "shape"]);

/** Sizes of a shape at most: it is echoed, and no array library needs more. */
const MAX_RANK = 8;

/**
 * `{"data": base64, "dtype", "shape": […, d]}`, row-major and little-endian: a quarter of the bytes of a list of numbers,
 * and no number to parse.
 * @throws WireError PURSUIT_INVALID_FIELD, PURSUIT_WRONG_LENGTH, PURSUIT_TOO_MANY_ROWS
 */
export function dataToRows(value: object, limits: RowLimits, field: string): PostedRows {
  for (const key of Object.keys(value)) {
    if (!FIELDS.has(key)) throw invalid(`${field} has no field ${named(key)}; it takes data, dtype and shape.`);
  }
  const { data, dtype, shape } = value as {
    readonly data?: unknown;
    readonly dtype?: unknown;
    readonly shape?: unknown;
  };
  if (typeof data !== "string") throw invalid(`${field}.data must be base64 text; it is ${describe(data)}.`);
  if (typeof dtype !== "string" || !Object.hasOwn(DTYPES, dtype)) {
    throw invalid(`${field}.dtype must be one of ${Object.keys(DTYPES).join(", ")}; it is ${describe(dtype)}.`);
  }
  const sizes = readShape(shape, field);
  const width = sizes.at(-1)!;
  const count = sizes.slice(0, -1).reduce((product, size) => product * size, 1);
  if (count === 0) throw invalid(`${field} holds no rows.`);
  checkCount(count, limits, field);
  const format = DTYPES[dtype as Dtype];
  const expected = count * width * FLOAT_BYTES[format];
  const bytes = Buffer.from(data, "base64");
  if (bytes.length !== expected) {
    const said = `${field}.data is ${bytes.length} bytes; shape [${sizes.join(", ")}] of ${dtype} takes ${expected}.`;
    const hint = bytes.length === expected * 2 && dtype === "float32" ? " It is twice as long: is it float64?" : "";
    throw new WireError("PURSUIT_WRONG_LENGTH", said + hint);
  }
  const rows = new Float32Array(count * width);
  decodeFloats(bytes, format, rows);
  return { data: rows, count, width, shape: sizes };
}

function readShape(shape: unknown, field: string): readonly number[] {
  const valid =
    Array.isArray(shape) &&
    shape.length >= 2 &&
    shape.length <= MAX_RANK &&
    shape.every((size) => Number.isInteger(size) && size >= 0 && size <= 2 ** 31);
  if (!valid)
    throw invalid(`${field}.shape must be a list of 2 to ${MAX_RANK} sizes, the last being the row length d.`);
  if (shape.reduce((product: number, size: number) => product * size, 1) > Number.MAX_SAFE_INTEGER) {
    throw invalid(`${field}.shape is larger than any body.`);
  }
  return shape as number[];
}
