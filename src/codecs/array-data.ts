import { decodeFloats, FLOAT_BYTES, type FloatType } from "../engine/core/float-formats.ts";
import { checkCount, describe, invalid, named, type PostedRows, type RowLimits } from "./posted-rows.ts";
import { WireError } from "./codec-error.ts";

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
 * `{"data", "dtype", "shape": […, d]}`, row-major and little-endian, the data as bytes or as base64: a quarter of the
 * bytes of a list of numbers, and no number to parse. Float32 that lies on a multiple of four is not copied: the rows
 * are a view of it.
 * @throws WireError PURSUIT_INVALID_FIELD, PURSUIT_WRONG_LENGTH, PURSUIT_TOO_MANY_ROWS
 */
export function dataToRows(value: object, limits: RowLimits, field: string): PostedRows {
  const { bytes, dtype, shape } = readArray(value, field, DTYPES);
  const sizes = readShape(shape, field);
  const width = sizes.at(-1)!;
  const count = sizes.slice(0, -1).reduce((product, size) => product * size, 1);
  if (count === 0) throw invalid(`${field} holds no rows.`);
  checkCount(count, limits, field);
  const format = DTYPES[dtype];
  const expected = count * width * FLOAT_BYTES[format];
  if (bytes.length !== expected) {
    const said = `${field}.data is ${bytes.length} bytes; shape [${sizes.join(", ")}] of ${dtype} takes ${expected}.`;
    const hint = bytes.length === expected * 2 && dtype === "float32" ? " It is twice as long: is it float64?" : "";
    throw new WireError("PURSUIT_WRONG_LENGTH", said + hint);
  }
  return { data: floatsOf(bytes, format), count, width, shape: sizes };
}

/** Numbers as float32; a view of the bytes where they are float32 in place. */
export function floatsOf(bytes: Uint8Array, format: FloatType): Float32Array {
  const count = bytes.length / FLOAT_BYTES[format];
  if (format === "F32" && bytes.byteOffset % 4 === 0) return new Float32Array(bytes.buffer, bytes.byteOffset, count);
  const floats = new Float32Array(count);
  decodeFloats(bytes, format, floats);
  return floats;
}

/**
 * The parts of `{data, dtype, shape}`, the shape unread.
 * @throws WireError PURSUIT_INVALID_FIELD
 */
export function readArray<D extends string>(
  value: object,
  field: string,
  dtypes: Readonly<Record<D, unknown>>,
): { readonly bytes: Uint8Array; readonly dtype: D; readonly shape: unknown } {
  for (const key of Object.keys(value)) {
    if (!FIELDS.has(key)) throw invalid(`${field} has no field ${named(key)}; it takes data, dtype and shape.`);
  }
  const { data, dtype, shape } = value as Readonly<Record<"data" | "dtype" | "shape", unknown>>;
  if (typeof data !== "string" && !(data instanceof Uint8Array))
    throw invalid(`${field}.data must be base64 text; it is ${describe(data)}.`);
  if (typeof dtype !== "string" || !Object.hasOwn(dtypes, dtype)) {
    throw invalid(`${field}.dtype must be one of ${Object.keys(dtypes).join(", ")}; it is ${describe(dtype)}.`);
  }
  return { bytes: typeof data === "string" ? bytesOf(data) : data, dtype: dtype as D, shape };
}

/** In memory of their own: small buffers share theirs, which could not be moved to another thread. */
function bytesOf(base64: string): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(base64, "base64"));
  return bytes.subarray(0, bytes.write(base64, "base64"));
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
