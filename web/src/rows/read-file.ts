/** Rows of a .npy or .safetensors file that a person drops on the page. */

export interface RowsFile {
  readonly name: string;
  readonly count: number;
  readonly width: number;
  /** float32, row-major: [count, width] */
  readonly data: Float32Array;
}

/** Bytes that the page reads: it shows rows one by one, and many rows belong into a client. */
export const MAX_FILE_BYTES = 512 * 2 ** 20;

/** @throws Error that says what is wrong with the file, and what to do */
export function readRowsFile(name: string, bytes: ArrayBuffer): RowsFile {
  const head = new Uint8Array(bytes, 0, Math.min(6, bytes.byteLength));
  const { shape, data } = isNpy(head) ? readNpy(name, bytes) : readSafetensors(name, bytes);
  const width = shape.at(-1) ?? 0;
  if (shape.length === 0 || width === 0 || data.length === 0)
    throw new Error(`${name} holds no rows: its shape is [${shape.join(", ")}]. Save an array [rows, d].`);
  return { name, width, count: data.length / width, data };
}

interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

const isNpy = (head: Uint8Array): boolean => head[0] === 0x93 && String.fromCodePoint(...head.subarray(1)) === "NUMPY";

/** NumPy's format 1 to 3: magic, version, length of the header, a Python literal, the numbers. */
function readNpy(name: string, bytes: ArrayBuffer): Tensor {
  const view = new DataView(bytes);
  const long = view.getUint8(6) > 1;
  const start = long ? 12 : 10;
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder().decode(new Uint8Array(bytes, start, Math.min(length, bytes.byteLength - start)));
  const type = /'descr':\s*'([^']+)'/.exec(header)?.[1];
  const shape = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  if (type === undefined || shape === undefined)
    throw new Error(`${name} is not a .npy array of numbers: its header has no type or shape.`);
  if (/'fortran_order':\s*True/.test(header))
    throw new Error(`${name} is in column order. Save it by np.save(file, np.ascontiguousarray(rows)).`);
  const sizes = shape.split(",").flatMap((part) => (part.trim() === "" ? [] : [Number(part)]));
  return tensorOf(name, NPY_TYPES[type], type, sizes, bytes, start + length);
}

/** Safetensors: length of the header (u64), a JSON header, the numbers. Takes the tensor `rows`, or the only one. */
function readSafetensors(name: string, bytes: ArrayBuffer): Tensor {
  const view = new DataView(bytes);
  const length = bytes.byteLength < 8 ? Infinity : Number(view.getBigUint64(0, true));
  if (length > bytes.byteLength - 8)
    throw new Error(`${name} is neither a .npy nor a .safetensors file. Save rows by np.save.`);
  let header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  try {
    header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length))) as typeof header;
  } catch {
    throw new Error(`${name} is neither a .npy nor a .safetensors file. Save rows by np.save.`);
  }
  const names = Object.keys(header).filter((key) => key !== "__metadata__");
  const chosen = names.includes("rows") ? "rows" : names.length === 1 ? names[0]! : undefined;
  if (chosen === undefined)
    throw new Error(
      `${name} holds ${names.length} tensors (${names.slice(0, 5).join(", ")}). Name the one to read rows.`,
    );
  const { dtype, shape, data_offsets: offsets } = header[chosen]!;
  return tensorOf(name, SAFETENSORS_TYPES[dtype], dtype, shape, bytes, 8 + length + offsets[0]);
}

type Reader = { readonly size: number; readonly read: (view: DataView, at: number) => number };

const F64: Reader = { size: 8, read: (view, at) => view.getFloat64(at, true) };
const F32: Reader = { size: 4, read: (view, at) => view.getFloat32(at, true) };
const F16: Reader = { size: 2, read: (view, at) => halfOf(view.getUint16(at, true)) };
const BF16: Reader = { size: 2, read: (view, at) => bfloatOf(view.getUint16(at, true)) };
const NPY_TYPES: Readonly<Record<string, Reader>> = { "<f8": F64, "<f4": F32, "<f2": F16 };
const SAFETENSORS_TYPES: Readonly<Record<string, Reader>> = { F64, F32, F16, BF16 };

function halfOf(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits >> 15 === 0 ? 1 : -1;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

const scratch = new DataView(new ArrayBuffer(4));
function bfloatOf(bits: number): number {
  scratch.setUint16(2, bits, true);
  scratch.setUint16(0, 0, true);
  return scratch.getFloat32(0, true);
}

function tensorOf(
  name: string,
  reader: Reader | undefined,
  type: string,
  shape: readonly number[],
  bytes: ArrayBuffer,
  start: number,
): Tensor {
  if (reader === undefined)
    throw new Error(`${name} holds numbers of type ${type}. Save them as float32: rows.astype("float32").`);
  const count = shape.reduce((product, size) => product * size, 1);
  const there = bytes.byteLength - start;
  if (!(count * reader.size <= there))
    throw new Error(
      `${name} ends early: [${shape.join(", ")}] needs ${count * reader.size} bytes, and there are ${Math.max(there, 0)}.`,
    );
  const view = new DataView(bytes, start);
  const data = new Float32Array(count);
  for (let i = 0; i < count; i++) data[i] = reader.read(view, i * reader.size);
  return { shape, data };
}
