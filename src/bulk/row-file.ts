import { extname } from "node:path";
import { FLOAT_BYTES, type FloatType, decodeFloats } from "../engine/core/float-formats.ts";
import type { Rows } from "../engine/core/rows.ts";
import { FormatError } from "../engine/dictionaries/formats/format-error.ts";
import { TORCH_ENDINGS } from "../engine/dictionaries/formats/torch.ts";

/** An open file of rows [count, width]. Its head has been checked; rows are read on demand, a block at a time. */
export interface RowFile {
  readonly path: string;
  /** Number of rows. */
  readonly count: number;
  /** Row length d. */
  readonly width: number;
  /**
   * Reads the rows [from, to) in order, in blocks of `most` rows or fewer. Numbers may be NaN: the engine checks them.
   * @param memory for the blocks; without it each has memory of its own
   * @throws FormatError when the file is not what its head says; the system's error when it cannot be read
   */
  blocks(from: number, to: number, most: number, memory?: BlockMemory): AsyncIterable<Rows>;
  close(): Promise<void>;
}

/**
 * Memory for blocks of rows. A block holds until `held` later ones were asked for; then its memory serves again. Fresh
 * memory for every block makes the garbage collector run at every other one, which costs a fifth of the encoding.
 */
export class BlockMemory {
  readonly #arrays: Float32Array[];
  #next = 0;

  constructor(held: number) {
    this.#arrays = Array.from({ length: held }, () => new Float32Array(0));
  }

  /** An array of `length` numbers, whatever they are. */
  take(length: number): Float32Array {
    const slot = this.#next;
    this.#next = (slot + 1) % this.#arrays.length;
    if (this.#arrays[slot]!.length < length) this.#arrays[slot] = new Float32Array(length);
    return this.#arrays[slot]!.subarray(0, length);
  }
}

/** What of a file are its rows. */
export interface RowChoice {
  /** Row length that is required: d, or layers · d of a crosscoder. Absent: as the file says. */
  readonly width?: number;
  /** Column of an Arrow or Parquet file, or tensor of a file of tensors. Absent: the only one that can be rows. */
  readonly column?: string;
  /** Of arrays […, layers, d]: the layer to take, from 0 on. Absent: each of their layers is a row. */
  readonly layer?: number;
}

/** Where rows lie in an array of numbers: row i begins at `offset + i · stride`, in elements. */
export interface RowLayout {
  readonly count: number;
  readonly width: number;
  readonly offset: number;
  readonly stride: number;
}

/**
 * Finds the rows of an array […, d]. Leading dimensions are flattened, as in requests; two last dimensions that make
 * the required width together are one row.
 * @throws FormatError
 */
export function layoutOf(path: string, what: string, shape: readonly number[], choice: RowChoice): RowLayout {
  const { width, layer } = choice;
  const is = `${what} is of shape (${shape.join(", ")})`;
  const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
  const last = shape.at(-1) ?? 0;
  if (layer !== undefined) {
    const layers = shape.length >= 3 ? shape.at(-2)! : 0;
    if (layers === 0) throw new FormatError(path, `${is}; --layer needs (…, layers, d). Leave --layer out.`);
    if (layer >= layers) throw new FormatError(path, `${is}: it has the layers 0 to ${layers - 1}, and no ${layer}.`);
    checkWidth(path, is, last, width);
    return { count: product(shape.slice(0, -2)), width: last, offset: layer * last, stride: layers * last };
  }
  if (shape.length < 2)
    throw new FormatError(path, `${is}; rows are an array (n, d). Reshape it to (1, d) for one row.`);
  const pair = shape.length >= 3 ? last * shape.at(-2)! : 0;
  const together = last !== width && pair === width;
  const wide = together ? width : last;
  checkWidth(path, is, wide, width);
  return { count: product(shape.slice(0, together ? -2 : -1)), width: wide, offset: 0, stride: wide };
}

function checkWidth(path: string, is: string, held: number, width: number | undefined): void {
  if (held === 0) throw new FormatError(path, `${is}: its rows are empty.`);
  if (width !== undefined && held !== width) {
    throw new FormatError(
      path,
      `${is}: its rows hold ${held} numbers, the dictionary takes ${width}. Is it another layer's or model's?`,
    );
  }
}

/** Stored numbers by their place. */
export interface StoredFloats {
  readonly type: FloatType;
  /** Fills `into` with the bytes of the elements from element `from` on. */
  fill(from: number, into: Uint8Array): Promise<void>;
}

/** Bytes of one read at most. */
const READ_BYTES = 16 << 20;
/** Reads under way at once, where rows lie apart. */
const PARALLEL = 64;

/** Where blocks lie in a file, and in memory. */
export interface BlockRange {
  readonly from: number;
  readonly to: number;
  /** Rows of one block at most. */
  readonly most: number;
  readonly memory: BlockMemory | undefined;
}

/** Reads the rows [from, to) of a layout in blocks of at most `most` rows and some 16 MiB. */
export async function* readBlocks(
  floats: StoredFloats,
  { offset, stride, width }: RowLayout,
  { from, to, most, memory }: BlockRange,
): AsyncGenerator<Rows> {
  const { type } = floats;
  const size = FLOAT_BYTES[type];
  const step = Math.max(1, Math.min(most, Math.floor(READ_BYTES / (width * size)), to - from));
  // Numbers of another type are read here first. float32 are read where they stay: files and memory are little-endian.
  const stored = type === "F32" ? null : new Uint8Array(step * width * size);
  for (let row = from; row < to; row += step) {
    const count = Math.min(step, to - row);
    const length = count * width;
    const data = memory?.take(length) ?? new Float32Array(length);
    const bytes = stored?.subarray(0, length * size) ?? new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    if (stride === width) {
      await floats.fill(offset + row * stride, bytes);
    } else {
      for (let at = 0; at < count; at += PARALLEL) {
        const rows = Array.from({ length: Math.min(PARALLEL, count - at) }, (_, i) =>
          floats.fill(
            offset + (row + at + i) * stride,
            bytes.subarray((at + i) * width * size, (at + i + 1) * width * size),
          ),
        );
        await Promise.all(rows);
      }
    }
    if (stored !== null) decodeFloats(bytes, type, data);
    yield { data, count, width };
  }
}

/** Endings of files of rows, and the module that reads them: loaded on first use, because some are large. */
const TENSORS = async () => (await import("./tensor-rows.ts")).openTensorRows;
const ARROW = async () => (await import("./arrow-rows.ts")).openArrowRows;
const PARQUET = async () => (await import("./parquet-rows.ts")).openParquetRows;
const OPENERS: Readonly<Record<string, () => Promise<(path: string, choice: RowChoice) => Promise<RowFile>>>> = {
  ".npy": TENSORS,
  ".safetensors": TENSORS,
  ".npz": TENSORS,
  ...Object.fromEntries(TORCH_ENDINGS.map((ending) => [ending, TENSORS])),
  ".arrow": ARROW,
  ".feather": ARROW,
  ".ipc": ARROW,
  ".parquet": PARQUET,
};

/** Endings that {@link openRowFile} reads. */
export const ROW_ENDINGS = Object.keys(OPENERS);

/** @throws FormatError when it is not of a format that is read, or holds no rows as chosen; the system's error when it cannot be read */
export async function openRowFile(path: string, choice: RowChoice = {}): Promise<RowFile> {
  const opener = OPENERS[extname(path).toLowerCase()];
  if (opener !== undefined) return (await opener())(path, choice);
  throw new FormatError(path, `ends in none of ${ROW_ENDINGS.join(", ")}, the formats that are read.`);
}
