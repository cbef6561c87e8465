import { decodeFloats, FLOAT_BYTES, type FloatType } from "../../core/float-formats.ts";
import { FormatError } from "./format-error.ts";
import { floatArray, openPlainFile, readExactly } from "./plain-file.ts";
import type { TensorFile } from "./tensor-file.ts";
import { isRowMajor, toRowMajor } from "./strided.ts";

/** What the one array of a .npy file is called here: the format has no name for it. */
export const NPY_TENSOR = "array";

/** Read in pieces: one read() of Node moves 2 GiB at most. */
const READ_BYTES = 16 << 20;

/**
 * A .npy file as a file of one tensor. It comes from strangers, so its header is held against its size.
 * @throws FormatError; the system's error when it cannot be read.
 */
export async function openNpy(path: string): Promise<TensorFile> {
  const { handle, size } = await openPlainFile(path);
  try {
    const header = parseNpyHeader(path, await readExactly(handle, path, 0, Math.min(size, NPY_HEAD_BYTES)));
    return {
      path,
      tensors: new Map([[NPY_TENSOR, header]]),
      async readFloats() {
        const type = floatTypeOf(path, header);
        const count = elements(header.shape);
        const end = header.dataStart + count * FLOAT_BYTES[type];
        if (end !== size) {
          const shape = header.shape.join(", ");
          throw new FormatError(path, `is ${size} bytes long; shape (${shape}) of ${header.dtype} ends at ${end}.`);
        }
        const data = floatArray(path, "the array", count);
        for (let from = header.dataStart, at = 0; from < end; from += READ_BYTES) {
          const bytes = await readExactly(handle, path, from, Math.min(READ_BYTES, end - from));
          decodeFloats(bytes, type, data, at);
          at += bytes.length / FLOAT_BYTES[type];
        }
        return inRowMajor(data, header);
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * The head of a .npy file (NumPy Enhancement Proposal 1, format versions 1.0 to 3.0):
 *
 *     bytes 0–5    "\x93NUMPY"
 *     bytes 6–7    major and minor version
 *     u16 or u32   header length, little-endian; u32 from version 2 on
 *     header       a Python literal {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, padded with spaces
 *
 * The literal is matched as text and never evaluated.
 */
export interface NpyHeader {
  /** numpy's name of the element type, such as "<f4". */
  readonly dtype: string;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
  /** Bytes from the file's start to the first element. */
  readonly dataStart: number;
}

const MAGIC = "\u0093NUMPY";

/** numpy writes some 128 bytes; a structured dtype, which is not read, may take more. */
const MAX_HEADER_BYTES = 64 * 1024;

/** numpy's own limit. */
const MAX_DIMENSIONS = 64;

/** Enough bytes from a file's start to hold any header that is read. */
export const NPY_HEAD_BYTES = 12 + MAX_HEADER_BYTES;

/** @param bytes the file's first NPY_HEAD_BYTES bytes, or all of it where it is shorter. @throws FormatError */
export function parseNpyHeader(file: string, bytes: Uint8Array): NpyHeader {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (head.length < 12 || head.toString("latin1", 0, 6) !== MAGIC) throw new FormatError(file, "is no .npy file.");
  const major = head[6]!;
  if (major < 1 || major > 3) throw new FormatError(file, `is of .npy version ${major}; 1 to 3 are read.`);
  const [length, start] = major === 1 ? [head.readUInt16LE(8), 10] : [head.readUInt32LE(8), 12];
  if (length > MAX_HEADER_BYTES)
    throw new FormatError(file, `claims a header of ${length} bytes; the limit is ${MAX_HEADER_BYTES}.`);
  if (start + length > head.length) throw new FormatError(file, "ends within its header.");
  const text = head.toString(major === 3 ? "utf8" : "latin1", start, start + length);

  // Python takes the last of two, and a pattern would take the first.
  const twice = ["descr", "fortran_order", "shape"].find((key) => text.split(`'${key}'`).length > 2);
  if (twice !== undefined) throw new FormatError(file, `its header holds ${twice} twice.`);
  const descr = /'descr'\s*:\s*'([^']*)'/.exec(text)?.[1];
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(text)?.[1];
  const sizes = /'shape'\s*:\s*\(([\d\s,]*)\)/.exec(text)?.[1];
  if (descr === undefined || order === undefined || sizes === undefined) {
    throw new FormatError(
      file,
      `its header names no simple element type, order and shape: ${JSON.stringify(text.slice(0, 120))}.`,
    );
  }
  const shape = sizes
    .split(",")
    .map((size) => size.trim())
    .filter((size) => size !== "")
    .map(Number);
  if (shape.length > MAX_DIMENSIONS || !Number.isSafeInteger(elements(shape))) {
    throw new FormatError(
      file,
      `has an invalid shape: (${shape.slice(0, 8).join(", ")}${shape.length > 8 ? ", …" : ""}).`,
    );
  }
  return { dtype: descr, fortranOrder: order === "True", shape, dataStart: start + length };
}

export const elements = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

const FLOAT_TYPES: Readonly<Record<string, FloatType>> = { "<f8": "F64", "<f4": "F32", "<f2": "F16" };

/** @throws FormatError that says what to do about an array that is not of little-endian floats. */
export function floatTypeOf(file: string, { dtype }: NpyHeader): FloatType {
  const type = FLOAT_TYPES[dtype];
  if (type !== undefined) return type;
  if (dtype.includes("O")) {
    throw new FormatError(
      file,
      "holds pickled Python objects, which are never read: they can run code. Save plain arrays.",
    );
  }
  throw new FormatError(file, `is of type ${dtype}; <f8, <f4 and <f2 are read. ${adviceOn(dtype)}`);
}

/** Python that turns an array of a type that is not read into one that is. */
function adviceOn(dtype: string): string {
  // ml_dtypes (jax, tensorflow) has no name in numpy's format: its arrays are saved as raw bytes.
  if (/^[<|]V2$/.test(dtype)) {
    return (
      "It is likely bfloat16. Import ml_dtypes, load it with numpy.load(path).view(ml_dtypes.bfloat16), " +
      "and save array.astype(numpy.float32)."
    );
  }
  if (/^[<>=|][fiub]\d+$/.test(dtype)) return "Save array.astype(numpy.float32).";
  return "Save an array of floating-point numbers.";
}

/** Column-major data of that shape as row-major; the same array where that makes no difference. */
export function inRowMajor(data: Float32Array, { shape, fortranOrder }: NpyHeader): Float32Array {
  const strides = shape.map((_, axis) => elements(shape.slice(0, axis)));
  return !fortranOrder || isRowMajor(shape, strides) ? data : toRowMajor(data, shape, strides);
}
