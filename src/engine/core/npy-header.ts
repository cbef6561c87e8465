import type { FloatType } from "./float-formats.ts";

/** A .npy file is not what its format says, or holds what is not read. The message is a predicate: "is no .npy file." */
export class NpyError extends Error {
  override readonly name = "NpyError";
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

/** Whether bytes begin as a .npy file does. */
export const isNpy = (bytes: Uint8Array): boolean =>
  Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, MAGIC.length)).toString("latin1") === MAGIC;

/** numpy writes some 128 bytes; a structured dtype, which is not read, may take more. */
const MAX_HEADER_BYTES = 64 * 1024;

/** numpy's own limit. */
const MAX_DIMENSIONS = 64;

/** Enough bytes from a file's start to hold any header that is read. */
export const NPY_HEAD_BYTES = 12 + MAX_HEADER_BYTES;

/** @param bytes the file's first NPY_HEAD_BYTES bytes, or all of it where it is shorter. @throws NpyError */
export function parseNpyHeader(bytes: Uint8Array): NpyHeader {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (head.length < 12 || head.toString("latin1", 0, 6) !== MAGIC) throw new NpyError("is no .npy file.");
  const major = head[6]!;
  if (major < 1 || major > 3) throw new NpyError(`is of .npy version ${major}; 1 to 3 are read.`);
  const [length, start] = major === 1 ? [head.readUInt16LE(8), 10] : [head.readUInt32LE(8), 12];
  if (length > MAX_HEADER_BYTES)
    throw new NpyError(`claims a header of ${length} bytes; the limit is ${MAX_HEADER_BYTES}.`);
  if (start + length > head.length) throw new NpyError("ends within its header.");
  const text = head.toString(major === 3 ? "utf8" : "latin1", start, start + length);

  // Python takes the last of two, and a pattern would take the first.
  const twice = ["descr", "fortran_order", "shape"].find((key) => text.split(`'${key}'`).length > 2);
  if (twice !== undefined) throw new NpyError(`its header holds ${twice} twice.`);
  const descr = /'descr'\s*:\s*'([^']*)'/.exec(text)?.[1];
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(text)?.[1];
  const sizes = /'shape'\s*:\s*\(([\d\s,]*)\)/.exec(text)?.[1];
  if (descr === undefined || order === undefined || sizes === undefined) {
    throw new NpyError(
      `its header names no simple element type, order and shape: ${JSON.stringify(text.slice(0, 120))}.`,
    );
  }
  const shape = sizes
    .split(",")
    .map((size) => size.trim())
    .filter((size) => size !== "")
    .map(Number);
  if (shape.length > MAX_DIMENSIONS || !Number.isSafeInteger(elements(shape))) {
    throw new NpyError(`has an invalid shape: (${shape.slice(0, 8).join(", ")}${shape.length > 8 ? ", …" : ""}).`);
  }
  return { dtype: descr, fortranOrder: order === "True", shape, dataStart: start + length };
}

export const elements = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

const FLOAT_TYPES: Readonly<Record<string, FloatType>> = { "<f8": "F64", "<f4": "F32", "<f2": "F16" };

/** @throws NpyError that says what to do about an array that is not of little-endian floats. */
export function npyFloatType({ dtype }: NpyHeader): FloatType {
  const type = FLOAT_TYPES[dtype];
  if (type !== undefined) return type;
  if (dtype.includes("O")) {
    throw new NpyError("holds pickled Python objects, which are never read: they can run code. Save plain arrays.");
  }
  throw new NpyError(`is of type ${dtype}; <f8, <f4 and <f2 are read. ${adviceOn(dtype)}`);
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
