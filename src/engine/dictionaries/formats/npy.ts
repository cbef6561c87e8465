import { decodeFloats, FLOAT_BYTES, type FloatType } from "../../core/float-formats.ts";
import {
  elements,
  NPY_HEAD_BYTES,
  NpyError,
  npyFloatType,
  type NpyHeader,
  parseNpyHeader,
} from "../../core/npy-header.ts";
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
    const header = readNpyHeader(path, await readExactly(handle, path, 0, Math.min(size, NPY_HEAD_BYTES)));
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

/** Reads the head of a .npy file. @throws FormatError */
export function readNpyHeader(file: string, bytes: Uint8Array): NpyHeader {
  return ofFile(file, () => parseNpyHeader(bytes));
}

/** @throws FormatError that says what to do about an array that is not of little-endian floats. */
export const floatTypeOf = (file: string, header: NpyHeader): FloatType => ofFile(file, () => npyFloatType(header));

function ofFile<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof NpyError ? new FormatError(file, error.message) : error;
  }
}

/** Column-major data of that shape as row-major; the same array where that makes no difference. */
export function inRowMajor(data: Float32Array, { shape, fortranOrder }: NpyHeader): Float32Array {
  const strides = shape.map((_, axis) => elements(shape.slice(0, axis)));
  return !fortranOrder || isRowMajor(shape, strides) ? data : toRowMajor(data, shape, strides);
}
