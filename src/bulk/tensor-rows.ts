import { extname } from "node:path";
import { FLOAT_BYTES, type FloatType } from "../engine/core/float-formats.ts";
import { FormatError } from "../engine/dictionaries/formats/format-error.ts";
import { elements, NPY_HEAD_BYTES } from "../engine/core/npy-header.ts";
import { floatTypeOf, readNpyHeader } from "../engine/dictionaries/formats/npy.ts";
import { fillExactly, openPlainFile, readExactly } from "../engine/dictionaries/formats/plain-file.ts";
import { SafetensorsFile } from "../engine/dictionaries/formats/safetensors.ts";
import { isFloatType, openTensorFile, type TensorHead } from "../engine/dictionaries/formats/tensor-file.ts";
import { layoutOf, readBlocks, type RowChoice, type RowFile, type StoredFloats } from "./row-file.ts";

/** Float32 bytes of a tensor that is held whole: a format that is not read in slices. */
const MAX_WHOLE_BYTES = 2 ** 30;

/** Opens .npy and .safetensors, which are read in slices, and .npz and .pt, whose tensor is held whole. */
export function openTensorRows(path: string, choice: RowChoice): Promise<RowFile> {
  const ending = extname(path).toLowerCase();
  if (ending === ".npy") return openNpyRows(path, choice);
  return ending === ".safetensors" ? openSafetensorsRows(path, choice) : openWholeRows(path, choice);
}

async function openNpyRows(path: string, choice: RowChoice): Promise<RowFile> {
  const { handle, size } = await openPlainFile(path);
  try {
    const header = readNpyHeader(path, await readExactly(handle, path, 0, Math.min(size, NPY_HEAD_BYTES)));
    const { shape, dtype, dataStart, fortranOrder } = header;
    const type = floatTypeOf(path, header);
    const bytes = FLOAT_BYTES[type];
    const end = dataStart + elements(shape) * bytes;
    if (end !== size) {
      throw new FormatError(path, `is ${size} bytes long; shape (${shape.join(", ")}) of ${dtype} ends at ${end}.`);
    }
    const layout = layoutOf(path, "the array", shape, choice);
    const stored: StoredFloats = {
      type,
      async fill(from, into) {
        await fillExactly(handle, path, dataStart + from * bytes, into);
      },
    };
    if (fortranOrder && shape.length > 2) {
      throw new FormatError(path, "is in Fortran order with over two dimensions. Save numpy.ascontiguousarray(array).");
    }
    return {
      path,
      count: layout.count,
      width: layout.width,
      blocks: (from, to, most, memory) =>
        readBlocks(fortranOrder ? transposed(stored, layout) : stored, layout, { from, to, most, memory }),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** A column-major matrix [count, width], read as if it were row-major: whole rows, one read a column. */
function transposed(
  stored: StoredFloats,
  { count, width }: { readonly count: number; readonly width: number },
): StoredFloats {
  const size = FLOAT_BYTES[stored.type];
  return {
    type: stored.type,
    async fill(from, into) {
      const rows = into.length / (size * width);
      const piece = new Uint8Array(rows * size);
      for (let column = 0; column < width; column++) {
        await stored.fill(column * count + from / width, piece);
        for (let i = 0; i < rows; i++) into.set(piece.subarray(i * size, (i + 1) * size), (i * width + column) * size);
      }
    },
  };
}

async function openSafetensorsRows(path: string, choice: RowChoice): Promise<RowFile> {
  const file = await SafetensorsFile.open(path);
  return rowsOfTensor(path, file, choice, (name, { dtype }) => {
    const type = dtype as FloatType;
    const size = FLOAT_BYTES[type];
    return { type, fill: (from, into) => file.fill(name, from * size, into) };
  });
}

async function openWholeRows(path: string, choice: RowChoice): Promise<RowFile> {
  const file = await openTensorFile(path);
  return rowsOfTensor(path, file, choice, (name, { shape }) => {
    const bytes = elements(shape) * 4;
    if (bytes > MAX_WHOLE_BYTES) {
      throw new FormatError(
        path,
        `tensor ${name} takes ${bytes} bytes as float32. A file of this format is held whole, up to ${MAX_WHOLE_BYTES} bytes: save it as .safetensors or .npy, which are read in slices.`,
      );
    }
    let held: Promise<Float32Array> | null = null;
    return {
      type: "F32",
      async fill(from, into) {
        const { buffer, byteOffset } = await (held ??= file.readFloats(name));
        into.set(new Uint8Array(buffer, byteOffset + from * 4, into.length));
      },
    };
  });
}

/** The rows of one of a file's tensors; closes the file where it has none. @throws FormatError */
async function rowsOfTensor<T extends { readonly dtype: string; readonly shape: readonly number[] }>(
  path: string,
  file: { readonly tensors: ReadonlyMap<string, T>; close(): Promise<void> },
  choice: RowChoice,
  storedOf: (name: string, tensor: T) => StoredFloats,
): Promise<RowFile> {
  try {
    const name = chooseTensor(path, file.tensors, choice);
    const tensor = file.tensors.get(name)!;
    const layout = layoutOf(path, `tensor ${name}`, tensor.shape, choice);
    const stored = storedOf(name, tensor);
    return {
      path,
      count: layout.count,
      width: layout.width,
      blocks: (from, to, most, memory) => readBlocks(stored, layout, { from, to, most, memory }),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The tensor that a user names, or the only one that can be rows. @throws FormatError */
function chooseTensor(path: string, tensors: ReadonlyMap<string, TensorHead>, choice: RowChoice): string {
  const matrices = [...tensors].filter(([, { dtype, shape }]) => isFloatType(dtype) && shape.length >= 2);
  const shown = matrices.slice(0, 8).map(([name, { shape }]) => `${name.slice(0, 80)} (${shape.join(", ")})`);
  const held = shown.length === 0 ? "none" : shown.join(", ") + (matrices.length > 8 ? ", …" : "");
  if (choice.column !== undefined) {
    if (matrices.some(([name]) => name === choice.column)) return choice.column;
    throw new FormatError(
      path,
      `holds no tensor ${choice.column} of rows (--column). Tensors of floats that can be rows: ${held}.`,
    );
  }
  const fitting = matrices.length === 1 ? matrices : matrices.filter(([, { shape }]) => shape.at(-1) === choice.width);
  if (fitting.length === 1) return fitting[0]![0];
  throw new FormatError(
    path,
    `does not say which tensor holds the rows: name it by --column. Tensors of floats that can be rows: ${held}.`,
  );
}
