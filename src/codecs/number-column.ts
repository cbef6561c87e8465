import { FLOAT_BYTES } from "../engine/core/float-formats.ts";
import { DTYPES, type Dtype, floatsOf, readArray } from "./array-data.ts";
import { describe, invalid } from "./posted-rows.ts";
import { WireError } from "./codec-error.ts";

/** Integer types of numpy and PyTorch that indices come in, and their widths in bytes. */
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
 * A list of numbers, or `{data, dtype, shape: [k]}`, each number checked.
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

/** As numbers: a negative or a huge one is still there to be refused. */
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
