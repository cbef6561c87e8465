import { decodeFloats, FLOAT_BYTES } from "../../core/float-formats.ts";
import { FormatError } from "./format-error.ts";
import { elements, floatTypeOf, NPY_HEAD_BYTES, parseNpyHeader, inRowMajor } from "./npy-header.ts";
import { openPlainFile, readExactly } from "./plain-file.ts";
import type { TensorFile } from "./tensor-file.ts";

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
        const data = new Float32Array(count);
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
