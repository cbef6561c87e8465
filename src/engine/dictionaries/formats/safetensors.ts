import type { FileHandle } from "node:fs/promises";
import {
  byteViews,
  decodeFloats,
  FLOAT_BYTES,
  type FloatType,
  type HalfType,
  narrowed,
} from "../../core/float-formats.ts";
import { isObject } from "../../core/json-object.ts";
import { FormatError } from "./format-error.ts";
import { isSetting, settingOf } from "./integer-settings.ts";
import { fillExactly, floatArray, openPlainFile, readExactly } from "./plain-file.ts";
import type { Setting } from "./tensor-file.ts";

/**
 * The safetensors format: u64 little-endian header length, a JSON header {name: {dtype, shape, data_offsets}}, the data.
 * Files come from strangers, so the header is believed only as far as it agrees with itself and with the file's size.
 */

/** The reference implementation's own limit (100 MB); the largest published dictionary's header is under 2 KB. */
const MAX_HEADER_BYTES = 100_000_000;

/** A language model has some thousand tensors, a dictionary a dozen. */
const MAX_TENSORS = 100_000;

/** Read in pieces: one read() of Node moves 2 GiB at most. */
const READ_BYTES = 16 << 20;

/** Bytes of one element. Of newer types (F8_E8M0, F4, C64 …) the offsets alone say how long a tensor is. */
const DTYPE_BYTES: Readonly<Record<string, number>> = {
  ...FLOAT_BYTES,
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  U16: 2,
  I16: 2,
  U32: 4,
  I32: 4,
  U64: 8,
  I64: 8,
};

const ADVICE = "Save it as float32: tensor.to(torch.float32) in PyTorch.";

/** Where one tensor lies. */
export interface TensorEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes from the file's start. */
  readonly from: number;
  readonly to: number;
}

/** Memory for the numbers of a tensor; null: any. */
export type Room = (name: string, length: number) => Float32Array | null;

/** An open safetensors file whose header has been checked; no tensor is read yet. */
export class SafetensorsFile {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Values of its small integer tensors. */
  readonly settings: ReadonlyMap<string, Setting>;
  /** The file's bytes before the first tensor. */
  readonly head: Uint8Array;
  readonly #handle: FileHandle;

  private constructor(
    path: string,
    handle: FileHandle,
    head: Uint8Array,
    header: Header,
    settings: ReadonlyMap<string, Setting>,
  ) {
    this.path = path;
    this.#handle = handle;
    this.head = head;
    this.tensors = header.tensors;
    this.metadata = header.metadata;
    this.settings = settings;
  }

  /** @throws FormatError when the file is no sound safetensors file; the system's error when it cannot be read. */
  static async open(path: string): Promise<SafetensorsFile> {
    const { handle, size } = await openPlainFile(path);
    try {
      if (size < 8) throw new FormatError(path, `${size} bytes are not a safetensors file.`);
      const length = Number((await readExactly(handle, path, 0, 8)).readBigUInt64LE());
      if (length > MAX_HEADER_BYTES || length > size - 8) {
        throw new FormatError(
          path,
          `claims a header of ${length} bytes in a file of ${size}: truncated, or not safetensors.`,
        );
      }
      const head = await readExactly(handle, path, 0, 8 + length);
      const header = parseHeader(path, head.toString("utf8", 8), head.length, size);
      const settings = new Map<string, Setting>();
      for (const [name, entry] of header.tensors) {
        if (!isSetting(entry)) continue;
        settings.set(name, settingOf(entry, await readExactly(handle, path, entry.from, entry.to - entry.from)));
      }
      return new SafetensorsFile(path, handle, head, header, settings);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /**
   * One tensor as float32, row-major.
   * @param onBytes gets the stored bytes that the numbers come from, piece by piece; it may keep them.
   * @param room memory for that many numbers, to read them into; null: new memory
   * @throws FormatError when it is absent or not of a floating-point type.
   */
  async readFloats(
    name: string,
    onBytes: (bytes: Uint8Array) => void = () => {},
    room: Room = () => null,
  ): Promise<Float32Array> {
    const entry = this.#entry(name);
    if (!(entry.dtype in FLOAT_BYTES)) {
      throw new FormatError(
        this.path,
        `tensor "${name}" is of type ${entry.dtype}; F64, F32, F16 and BF16 are read. ${ADVICE}`,
      );
    }
    const type = entry.dtype as FloatType;
    const count = (entry.to - entry.from) / FLOAT_BYTES[type];
    const into = room(name, count) ?? floatArray(this.path, `tensor "${name}"`, count);
    let at = 0;
    for await (const bytes of this.pieces(name)) {
      onBytes(bytes);
      decodeFloats(bytes, type, into, at);
      at += bytes.length / FLOAT_BYTES[type];
    }
    return into;
  }

  /** The stored bytes of one tensor of any type. @throws FormatError when it is absent */
  async *pieces(name: string): AsyncGenerator<Uint8Array> {
    const { from, to } = this.#entry(name);
    for (let at = from; at < to; at += READ_BYTES) {
      yield await readExactly(this.#handle, this.path, at, Math.min(READ_BYTES, to - at));
    }
  }

  /** Fills `into` with the bytes of a tensor from its byte `from` on. @throws FormatError when it is absent */
  async fill(name: string, from: number, into: Uint8Array): Promise<void> {
    await fillExactly(this.#handle, this.path, this.#entry(name).from + from, into);
  }

  #entry(name: string): TensorEntry {
    const entry = this.tensors.get(name);
    if (entry !== undefined) return entry;
    const held = [...this.tensors.keys()].slice(0, 20).join(", ");
    throw new FormatError(this.path, `holds no tensor "${name}"; it holds ${held}.`);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

interface Header {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

function parseHeader(path: string, text: string, dataStart: number, fileSize: number): Header {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    throw new FormatError(path, "its header is not JSON.");
  }
  if (!isObject(header)) throw new FormatError(path, "its header is not a JSON object.");
  const { __metadata__: metadata = {}, ...entries } = header;
  if (!isObject(metadata) || Object.values(metadata).some((value) => typeof value !== "string")) {
    throw new FormatError(path, "its __metadata__ is not an object of strings.");
  }
  const names = Object.keys(entries);
  if (names.length > MAX_TENSORS)
    throw new FormatError(path, `claims ${names.length} tensors; the limit is ${MAX_TENSORS}.`);
  const tensors = new Map(names.map((name) => [name, checkEntry(path, name, entries[name], dataStart)]));

  // The format allows neither gaps nor overlaps, and no byte behind the last tensor.
  let end = dataStart;
  for (const [name, { from, to }] of [...tensors].sort(([, a], [, b]) => a.from - b.from || a.to - b.to)) {
    if (from !== end) throw new FormatError(path, `tensor "${name}" begins at byte ${from}, where ${end} was due.`);
    end = to;
  }
  if (end !== fileSize) {
    throw new FormatError(
      path,
      `is ${fileSize} bytes long, but its tensors end at ${end}: truncated, or something follows.`,
    );
  }
  return { tensors, metadata: metadata as Record<string, string> };
}

function checkEntry(path: string, name: string, entry: unknown, dataStart: number): TensorEntry {
  const fault = (message: string): FormatError => new FormatError(path, `tensor "${name.slice(0, 80)}" ${message}`);
  if (!isObject(entry)) throw fault("is described by no object.");
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string" || !/^[A-Z][A-Z0-9_]{0,30}$/.test(dtype))
    throw fault(`is of unknown type ${shown(dtype)}.`);
  if (!isSizes(shape)) throw fault(`has an invalid shape: ${shown(shape)}.`);
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    throw fault(`has invalid data_offsets: ${shown(offsets)}.`);
  }
  const width = Object.hasOwn(DTYPE_BYTES, dtype) ? DTYPE_BYTES[dtype] : undefined;
  const bytes = shape.reduce((product, size) => product * size, width ?? 0);
  if (width !== undefined && offsets[1]! - offsets[0]! !== bytes) {
    throw fault(`of shape ${shown(shape)} needs ${bytes} bytes, but its offsets span ${offsets[1]! - offsets[0]!}.`);
  }
  return { dtype, shape, from: dataStart + offsets[0]!, to: dataStart + offsets[1]! };
}

/** A value of the header, cut short: it may be as long as the header, or nested so deeply that JSON.stringify overflows. */
function shown(value: unknown): string {
  if (Array.isArray(value)) {
    const parts = value.slice(0, 4).map((part) => (typeof part === "object" ? "…" : shown(part)));
    return `[${parts.join(", ")}${value.length > 4 ? ", …" : ""}]`;
  }
  return typeof value === "object" && value !== null ? "an object" : (JSON.stringify(value)?.slice(0, 80) ?? "missing");
}

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && (size as number) >= 0);

/** A tensor to be written. */
export interface FloatTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
  /** Stored in this type where every number has its equal there, else as float32; absent: as float32. */
  readonly stored?: HalfType;
}

/** Tensors → the bytes of a safetensors file, the same bytes for the same tensors. Data starts 8-aligned. */
export function encodeSafetensors(
  tensors: Readonly<Record<string, FloatTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const header: Record<string, unknown> = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {};
  const data: Uint8Array[] = [];
  let offset = 0;
  for (const [name, { shape, data: floats, stored }] of Object.entries(tensors)) {
    const half = stored === undefined ? null : narrowed(floats, stored);
    const written = half ?? floats;
    const dtype = half === null ? "F32" : stored;
    header[name] = { dtype, shape, data_offsets: [offset, (offset += written.byteLength)] };
    data.push(...byteViews(written));
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, " ");
  padded.writeBigUInt64LE(BigInt(padded.length - 8));
  text.copy(padded, 8);
  return [padded, ...data];
}
