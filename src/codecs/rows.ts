import { NumberRows } from "./numbers/number-rows.ts";
import { checkCount, describe, invalid, named, type PostedRows, type RowLimits, WireError } from "./codec-error.ts";
import { decodeFloats, FLOAT_BYTES, type FloatType } from "../engine/core/float-formats.ts";

/**
 * Reads `inputs` as a Float32Array: numbers already read, nested lists of numbers, or `{data, dtype, shape}`. One pass
 * checks and copies lists; a JSON Schema would visit each number before that, and could not name the wrong row and
 * column.
 * @throws WireError PURSUIT_INVALID_FIELD, PURSUIT_WRONG_WIDTH, PURSUIT_TOO_MANY_ROWS, PURSUIT_WRONG_LENGTH
 */
export function readRows(inputs: unknown, limits: RowLimits, field = "inputs"): PostedRows {
  if (inputs instanceof NumberRows) return numbersToRows(inputs, limits, field);
  if (typeof inputs === "object" && inputs !== null && !Array.isArray(inputs)) return dataToRows(inputs, limits, field);
  if (!Array.isArray(inputs))
    throw invalid(`${field} must be a list of rows, or {"data", "dtype", "shape"}; it is ${describe(inputs)}.`);
  if (inputs.length === 0) throw invalid(`${field} holds no rows.`);
  if (typeof inputs[0] === "number") throw invalid(`${field} must be a list of rows; for a single row write [[…]].`);
  const nested = Array.isArray((inputs[0] as unknown[] | undefined)?.[0]);
  const rows = nested ? flatten(inputs, field) : (inputs as unknown[]);
  checkCount(rows.length, limits, field);

  const name = (row: number): string => {
    if (!nested) return `${field}[${row}]`;
    const inner = (inputs[0] as unknown[]).length;
    return `${field}[${Math.floor(row / inner)}][${row % inner}]`;
  };
  const width = Array.isArray(rows[0]) ? rows[0].length : 0;
  // Before allocating: a wide first row and thousands of empty ones would claim gigabytes.
  for (const [i, row] of rows.entries()) {
    if (!Array.isArray(row)) throw invalid(`${name(i)} must be a list of numbers; it is ${describe(row)}.`);
    if (row.length !== width) {
      throw new WireError(
        "PURSUIT_WRONG_WIDTH",
        `${name(i)} holds ${row.length} numbers, ${name(0)} holds ${width}; rows must be of one width.`,
      );
    }
  }
  const data = new Float32Array(rows.length * width);
  let at = 0;
  for (const [i, row] of (rows as unknown[][]).entries()) {
    for (let column = 0; column < width; column++) {
      const value = row[column];
      if (typeof value !== "number") throw invalid(`${name(i)}[${column}] must be a number; it is ${describe(value)}.`);
      data[at++] = value;
    }
  }
  const leading = nested ? [inputs.length, (inputs[0] as unknown[]).length] : [rows.length];
  return { data, count: rows.length, width, shape: [...leading, width] };
}

function numbersToRows({ data, shape }: NumberRows, limits: RowLimits, field: string): PostedRows {
  const width = shape.at(-1)!;
  const count = data.length / width;
  checkCount(count, limits, field);
  return { data, count, width, shape };
}

/** [batch, seq, d] → [batch · seq, d] */
function flatten(inputs: unknown[], field: string): unknown[] {
  const inner = (inputs[0] as unknown[]).length;
  for (const [i, part] of inputs.entries()) {
    if (!Array.isArray(part) || part.length !== inner) {
      const held = Array.isArray(part) ? `${part.length} rows` : describe(part);
      throw invalid(`${field}[${i}] holds ${held}, ${field}[0] holds ${inner} rows; all must hold as many.`);
    }
  }
  return inputs.flat(1);
}

/**
 * Rows of a dictionary over several layers: [n, layers, d] → [n, layers · d], without a copy. Other rows stay as they are.
 * @param width of a row with all its layers
 */
export function joinLayers(rows: PostedRows, layers: number | undefined, width: number): PostedRows {
  const { data, count, shape } = rows;
  const leading = shape.slice(0, -2);
  if (layers === undefined || leading.length === 0 || shape.at(-2) !== layers || rows.width * layers !== width)
    return rows;
  return { data, count: count / layers, width, shape: [...leading, width] };
}

/** Names of number formats in numpy and PyTorch. */
export const DTYPES = { float32: "F32", float64: "F64", float16: "F16", bfloat16: "BF16" } as const satisfies Record<
  string,
  FloatType
>;
export type Dtype = keyof typeof DTYPES;

const FIELDS = new Set(["data", "dtype", "shape"]);

/** Maximum length of a shape: it is echoed, and no array library needs more. */
const MAX_RANK = 8;

/**
 * Reads `{"data", "dtype", "shape": […, d]}`, row-major and little-endian, data as bytes or base64: a quarter of the
 * bytes of a list of numbers, and no number to parse. Float32 at a multiple of four is not copied: the rows are a view
 * of it.
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

/** Converts numbers to float32; returns a view if the bytes are aligned float32. */
export function floatsOf(bytes: Uint8Array, format: FloatType): Float32Array {
  const count = bytes.length / FLOAT_BYTES[format];
  if (format === "F32" && bytes.byteOffset % 4 === 0) return new Float32Array(bytes.buffer, bytes.byteOffset, count);
  const floats = new Float32Array(count);
  decodeFloats(bytes, format, floats);
  return floats;
}

/**
 * Reads the parts of `{data, dtype, shape}`, without checking the shape.
 * @throws WireError PURSUIT_INVALID_FIELD
 */
function readArray<D extends string>(
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

/** Gives the bytes memory of their own: small buffers share theirs and cannot be moved to another thread. */
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

/** Integer types of numpy and PyTorch for indices, and their bytes. */
const INDEX_BYTES = { uint32: 4, int32: 4, uint64: 8, int64: 8 } as const;
type IndexDtype = keyof typeof INDEX_BYTES;

interface Columns {
  readonly index: Uint32Array;
  readonly float: Float32Array;
}

const WANTED = { index: "an integer ≥ 0", float: "a finite number" } as const;
const ALLOWED = {
  index: (value: number) => Number.isInteger(value) && value >= 0 && value < 2 ** 32,
  float: Number.isFinite,
} as const;

/**
 * Reads a list of numbers, or `{data, dtype, shape: [k]}`, and checks each number.
 * @throws WireError PURSUIT_INVALID_FIELD, PURSUIT_WRONG_LENGTH
 */
export function readNumbers<K extends keyof Columns>(posted: unknown, at: string, kind: K): Columns[K] {
  const isData = typeof posted === "object" && posted !== null && "data" in posted;
  const list = isData ? fromData(posted, at, kind) : posted;
  if (!Array.isArray(list) && !isData) {
    throw invalid(`${at} must be a list of numbers; it is ${describe(list)}.`);
  }
  const numbers = list as ArrayLike<unknown>;
  for (let k = 0; k < numbers.length; k++) {
    const value = numbers[k];
    if (typeof value !== "number" || !ALLOWED[kind](value))
      throw invalid(`${at}[${k}] must be ${WANTED[kind]}; it is ${describe(value)}.`);
  }
  const column = kind === "index" ? Uint32Array : Float32Array;
  return (list instanceof column ? list : column.from(numbers as ArrayLike<number>)) as Columns[K];
}

function fromData(posted: object, at: string, kind: keyof Columns): ArrayLike<number> {
  const dtypes = kind === "index" ? INDEX_BYTES : DTYPES;
  const { bytes, dtype, shape } = readArray<string>(posted, at, dtypes);
  const size = kind === "index" ? INDEX_BYTES[dtype as IndexDtype] : FLOAT_BYTES[DTYPES[dtype as Dtype]];
  const [count] = Array.isArray(shape) && shape.length === 1 ? (shape as unknown[]) : [];
  if (!Number.isSafeInteger(count)) throw invalid(`${at}.shape must be a list of one size.`);
  if (bytes.length !== (count as number) * size) {
    const message = `${at}.data is ${bytes.length} bytes; ${String(count)} numbers of ${dtype} take ${(count as number) * size}.`;
    throw new WireError("PURSUIT_WRONG_LENGTH", message);
  }
  return kind === "index" ? indicesOf(bytes, dtype as IndexDtype) : floatsOf(bytes, DTYPES[dtype as Dtype]);
}

/** Reads indices as numbers, so that negative and huge ones can be refused. */
function indicesOf(bytes: Uint8Array, dtype: IndexDtype): ArrayLike<number> {
  const count = bytes.length / INDEX_BYTES[dtype];
  if (dtype === "uint32" && bytes.byteOffset % 4 === 0) return new Uint32Array(bytes.buffer, bytes.byteOffset, count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const READ = {
    uint32: (at: number) => view.getUint32(at, true),
    int32: (at: number) => view.getInt32(at, true),
    uint64: (at: number) => Number(view.getBigUint64(at, true)),
    int64: (at: number) => Number(view.getBigInt64(at, true)),
  } as const;
  const read = READ[dtype];
  return Float64Array.from({ length: count }, (_, i) => read(i * INDEX_BYTES[dtype]));
}
