import { crc32, deflateRawSync } from "node:zlib";
import { npyBytes } from "../../test/support/npy-bytes.ts";
import { checkpointBytes, pickleBytes, tensorBytes } from "../../test/support/torch-bytes.ts";
import { zipBytes } from "../../test/support/zip-bytes.ts";

/** Files of tensors in every format that import reads, written and read independently of the product. */

export interface Tensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: readonly number[];
}
export type Tensors = Readonly<Record<string, Tensor>>;

type Dtype = keyof typeof WIDTH;
const WIDTH = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, U8: 1 } as const;
const NUMPY: Readonly<Partial<Record<Dtype, string>>> = { F64: "<f8", F32: "<f4", F16: "<f2" };
const TORCH = { F64: "Double", F32: "Float", F16: "Half", BF16: "BFloat16", I64: "Long", I32: "Int", U8: "Byte" };

export const tensor = (data: readonly number[], ...shape: number[]): Tensor => ({ dtype: "F32", shape, data });

/** The format of a file by its ending. */
export type Format = "safetensors" | "npz" | "torch";

export function formatOf(name: string): Format | null {
  if (name.endsWith(".safetensors")) return "safetensors";
  if (name.endsWith(".npz")) return "npz";
  return /\.(?:pt|pth)$/.test(name) ? "torch" : null;
}

export const ENDINGS: Readonly<Record<Format, string>> = { safetensors: ".safetensors", npz: ".npz", torch: ".pt" };

/** Whether a format has a type of its own for numbers of this type. */
export const storable = (format: Format, { dtype }: Tensor): boolean => format !== "npz" || dtype in NUMPY;

/** Half-precision types take only numbers that they hold exactly. */
function elements({ dtype, data }: Tensor): Buffer {
  const bytes = Buffer.alloc(data.length * WIDTH[dtype]);
  for (const [i, value] of data.entries()) {
    const at = i * WIDTH[dtype];
    if (dtype === "F64") bytes.writeDoubleLE(value, at);
    else if (dtype === "F32") bytes.writeFloatLE(value, at);
    else if (dtype === "BF16") bytes.writeUInt16LE(floatBits(value) >>> 16, at);
    else if (dtype === "F16") bytes.writeUInt16LE(halfBits(value), at);
    else if (dtype === "I64") bytes.writeBigInt64LE(BigInt(Math.trunc(value)), at);
    else if (dtype === "I32") bytes.writeInt32LE(Math.trunc(value), at);
    else bytes.writeUInt8(Math.trunc(value) & 0xff, at);
  }
  return bytes;
}

const word = new DataView(new ArrayBuffer(4));
const floatBits = (value: number): number => {
  word.setFloat32(0, value);
  return word.getUint32(0);
};

function halfBits(value: number): number {
  if (value === 0) return 0;
  if (Number.isNaN(value)) return 0x7e00;
  const bits = floatBits(value);
  return ((bits >>> 16) & 0x8000) | ((((bits >>> 23) & 0xff) - 112) << 10) | ((bits >>> 13) & 0x3ff);
}

/** The nearest number towards 0 that float16 and bfloat16 both hold. */
export function halved(value: number): number {
  word.setUint32(0, floatBits(value) & 0xffff0000);
  const half = word.getFloat32(0);
  return Math.abs(half) < 2 ** -14 || Math.abs(half) > 65000 ? 0 : half;
}

/** A safetensors file; `spoil` changes its header before it is written, so that its length still fits. */
export function safetensorsBytes(tensors: Tensors, spoil: (header: unknown) => unknown = (same) => same): Buffer {
  let end = 0;
  const header = Object.fromEntries(
    Object.entries(tensors).map(([name, { dtype, shape, data }]) => [
      name,
      { dtype, shape, data_offsets: [end, (end += WIDTH[dtype] * data.length)] },
    ]),
  );
  const head = Buffer.from(JSON.stringify(spoil(header)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  return Buffer.concat([length, head, ...Object.values(tensors).map(elements)]);
}

/** A .npz file of stored and deflated members in turn, every second one in Fortran's order. */
export function npzBytes(tensors: Tensors): Buffer {
  return zipBytes(
    Object.entries(tensors).map(([name, { dtype, shape, data }], i) => {
      const bytes = npyBytes(shape, data, { dtype: NUMPY[dtype]!, fortran: i % 2 === 1 });
      const file = { name: `${name}.npy`, bytes };
      return i % 3 === 0 ? file : deflated(file);
    }),
  );
}

/** A zip's member, deflated. */
export const deflated = ({ name, bytes }: { readonly name: string; readonly bytes: Uint8Array }) => ({
  name,
  bytes: deflateRawSync(bytes),
  method: 8,
  size: bytes.length,
  crc: crc32(bytes),
});

/** What a checkpoint holds beside float tensors: integers of modules, and values that its author put there. */
export type Settings = Readonly<Record<string, null | boolean | number | string | readonly unknown[]>>;

/**
 * A checkpoint of torch.save. Every second matrix lies column by column, as dictionary_learning's encoders do.
 * @param inside name of the dict that holds the tensors; "": the outermost one
 * @param shared whether the float32 tensors are views of one storage, which is legal
 */
export function torchBytes(
  tensors: Tensors,
  {
    inside = "",
    settings = {},
    shared = false,
  }: { readonly inside?: string; readonly settings?: Settings; readonly shared?: boolean } = {},
): Buffer {
  if (shared) return sharedStorage(tensors, { inside, settings });
  const entries = Object.entries(tensors).map(([name, one], i) => {
    const { dtype, shape, data } = one;
    const turned = shape.length === 2 && i % 2 === 1;
    const strides = turned ? [1, shape[0]!] : shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
    const view = { key: String(i), count: data.length, type: `${TORCH[dtype]}Storage`, shape, strides };
    return [name, tensorBytes(view), elements(turned ? columns(one) : one)] as const;
  });
  const pickle = dictBytes(
    entries.map(([name, bytes]) => [name, bytes]),
    { inside, settings },
  );
  return checkpointBytes(pickle, Object.fromEntries(entries.map(([, , bytes], i) => [String(i), bytes])));
}

/** The pickle of a dict of tensors and settings. */
export function dictBytes(
  entries: readonly (readonly [name: string, value: unknown])[],
  { inside, settings }: { readonly inside: string; readonly settings: Settings },
): Buffer {
  const root = inside === "" ? entries : [[inside, new Map(entries)] as const];
  return pickleBytes(new Map<string, unknown>([...root, ...Object.entries(settings)]));
}

function sharedStorage(tensors: Tensors, where: Parameters<typeof dictBytes>[1]): Buffer {
  let end = 0;
  const all = Object.entries(tensors);
  const floats = all.filter(([, { dtype }]) => dtype === "F32");
  const count = floats.reduce((sum, [, { data }]) => sum + data.length, 0);
  const views = floats.map(([name, { shape, data }]) => {
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
    const bytes = tensorBytes({ key: "all", count, offset: end, shape, strides });
    end += data.length;
    return [name, bytes] as const;
  });
  const others = all
    .filter(([, { dtype }]) => dtype !== "F32")
    .map(([name, { dtype, shape, data }]) => {
      const view = {
        key: name,
        count: data.length,
        type: `${TORCH[dtype]}Storage`,
        shape,
        strides: shape.map(() => 1),
      };
      return [name, tensorBytes(view)] as const;
    });
  const storages = Object.fromEntries(others.map(([name]) => [name, elements(tensors[name]!)]));
  const data = Buffer.concat(floats.map(([, one]) => elements(one)));
  return checkpointBytes(dictBytes([...views, ...others], where), { all: data, ...storages });
}

/** The same numbers, column by column. */
function columns({ dtype, shape, data }: Tensor): Tensor {
  const [rows, width] = shape as [number, number];
  return { dtype, shape, data: data.map((_, i) => data[(i % rows) * width + Math.floor(i / rows)]!) };
}

/** Tensors as a file says them, by name. */
export interface Stored {
  readonly shape: readonly number[];
  readonly floats: Float32Array;
}

/** Float32 tensors of a .safetensors or .npy file by name; null where this simple reader cannot tell. */
export function storedTensors(name: string, bytes: Uint8Array): ReadonlyMap<string, Stored> | null {
  try {
    if (name.endsWith(".safetensors")) return storedSafetensors(Buffer.from(bytes));
    if (name.endsWith(".npy")) return storedNpy(Buffer.from(bytes));
  } catch {
    return null;
  }
  return null;
}

const floatsOf = (bytes: Buffer): Float32Array =>
  Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));

function storedSafetensors(bytes: Buffer): ReadonlyMap<string, Stored> {
  const start = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString("utf8", 8, start)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const floats = Object.entries(header).filter(([name, { dtype }]) => name !== "__metadata__" && dtype === "F32");
  return new Map(
    floats.map(([name, { shape, data_offsets: offsets }]) => {
      const [from, to] = offsets;
      return [name, { shape, floats: floatsOf(bytes.subarray(start + from, start + to)) }];
    }),
  );
}

/** The header is a Python literal, which becomes JSON by its brackets and words. */
function storedNpy(bytes: Buffer): ReadonlyMap<string, Stored> {
  const start = bytes[6] === 1 ? 10 + bytes.readUInt16LE(8) : 12 + bytes.readUInt32LE(8);
  const literal = bytes
    .toString("latin1", bytes[6] === 1 ? 10 : 12, start)
    .replaceAll("'", '"')
    .replaceAll("(", "[")
    .replaceAll(")", "]")
    .replaceAll("True", "true")
    .replaceAll("False", "false")
    .replaceAll(/,\s*([\]}])/g, "$1");
  const header = JSON.parse(literal) as { descr: string; fortran_order: boolean; shape: [number, number] };
  if (header.descr !== "<f4") throw new Error("not told");
  const { shape } = header;
  const floats = floatsOf(bytes.subarray(start));
  const [rows, width] = shape;
  const at = (i: number): number => Math.floor(i / width) + (i % width) * rows;
  return new Map([["array", { shape, floats: header.fortran_order ? floats.map((_, i) => floats[at(i)]!) : floats }]]);
}
