/**
 * Hand-made checkpoints, hostile ones too: pickles of protocol 2 and stored zips, written independently of the readers.
 */
import { zipBytes, type ZipFileOf } from "./zip-bytes.ts";

const u8 = (value: number): Buffer => Buffer.of(value);
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};

/** Opcodes by name, for sequences that no pickler writes. */
export const OP = {
  mark: Buffer.from("("),
  none: Buffer.from("N"),
  tuple: Buffer.from("t"),
  emptyDict: Buffer.from("}"),
  emptyList: Buffer.from("]"),
  setItems: Buffer.from("u"),
  appends: Buffer.from("e"),
  append: Buffer.from("a"),
  reduce: Buffer.from("R"),
  build: Buffer.from("b"),
  persistentId: Buffer.from("Q"),
  stop: Buffer.from("."),
  put: (index: number): Buffer => Buffer.of(0x71, index),
  get: (index: number): Buffer => Buffer.of(0x68, index),
  global: (module: string, name: string): Buffer => Buffer.from(`c${module}\n${name}\n`),
} as const;

/** A tuple; arrays are lists. */
export class Tuple {
  readonly items: readonly unknown[];

  constructor(...items: readonly unknown[]) {
    this.items = items;
  }
}

/** Opcodes that push a value: Map is a dict, array a list, Buffer raw opcodes. */
export function valueBytes(value: unknown): Buffer {
  if (Buffer.isBuffer(value)) return value;
  if (value === null) return OP.none;
  if (typeof value === "boolean") return u8(value ? 0x88 : 0x89);
  if (typeof value === "string") {
    const text = Buffer.from(value);
    return Buffer.concat([Buffer.from("X"), u32(text.length), text]);
  }
  if (typeof value === "number" && Number.isInteger(value) && Math.abs(value) < 2 ** 31 && !Object.is(value, -0)) {
    if (value >= 0 && value < 256) return Buffer.of(0x4b, value);
    if (value >= 0 && value < 65536) return Buffer.of(0x4d, value & 255, value >> 8);
    return Buffer.concat([Buffer.from("J"), u32(value)]);
  }
  if (
    typeof value === "bigint" ||
    (typeof value === "number" && Number.isSafeInteger(value) && !Object.is(value, -0))
  ) {
    return longBytes(BigInt(value));
  }
  if (typeof value === "number") {
    const bytes = Buffer.alloc(9, "G");
    bytes.writeDoubleBE(value, 1);
    return bytes;
  }
  if (value instanceof Tuple) {
    const items = value.items.map(valueBytes);
    if (items.length === 0) return Buffer.from(")");
    if (items.length < 4) return Buffer.concat([...items, u8(0x84 + items.length)]);
    return Buffer.concat([OP.mark, ...items, OP.tuple]);
  }
  if (Array.isArray(value)) return Buffer.concat([OP.emptyList, OP.mark, ...value.map(valueBytes), OP.appends]);
  if (value instanceof Map) {
    const items = [...value].flat(1).map(valueBytes);
    return Buffer.concat([OP.emptyDict, OP.mark, ...items, OP.setItems]);
  }
  throw new Error(`no opcode for ${typeof value}`);
}

function longBytes(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push(Number(rest & 255n));
    rest >>= 8n;
  } while (!(rest === 0n && bytes.at(-1)! < 128) && !(rest === -1n && bytes.at(-1)! >= 128));
  return Buffer.concat([Buffer.of(0x8a, bytes.length), Buffer.from(bytes)]);
}

/** A whole pickle. */
export const pickleBytes = (value: unknown): Buffer => Buffer.concat([Buffer.of(0x80, 2), valueBytes(value), OP.stop]);

/** A call of a global. */
export const callBytes = (module: string, name: string, ...args: readonly unknown[]): Buffer =>
  Buffer.concat([OP.global(module, name), valueBytes(new Tuple(...args)), OP.reduce]);

/** A reference to a storage. */
export const storageBytes = (
  key: unknown,
  count: unknown,
  type = "FloatStorage",
  ...more: readonly unknown[]
): Buffer =>
  Buffer.concat([
    valueBytes(new Tuple("storage", OP.global("torch", type), key, "cpu", count, ...more)),
    OP.persistentId,
  ]);

export interface View {
  readonly key?: unknown;
  readonly count?: unknown;
  readonly type?: string;
  readonly offset?: unknown;
  readonly shape: readonly unknown[];
  readonly strides: readonly unknown[];
}

/** A view of a storage; by default of storage "0" with as many elements as the view spans. */
export function tensorBytes({ key = "0", count, type = "FloatStorage", offset = 0, shape, strides }: View): Buffer {
  const span = shape.reduce<number>((at, size, axis) => at + (Number(size) - 1) * Number(strides[axis]), 1);
  return callBytes(
    "torch._utils",
    "_rebuild_tensor_v2",
    storageBytes(key, count ?? span + Number(offset), type),
    offset,
    new Tuple(...shape),
    new Tuple(...strides),
    false,
    callBytes("collections", "OrderedDict"),
  );
}

/** A checkpoint in zip form. */
export function checkpointBytes(
  pickle: Uint8Array,
  storages: Readonly<Record<string, Uint8Array>> = {},
  prefix = "archive/",
  more: readonly ZipFileOf[] = [],
): Buffer {
  return zipBytes([
    { name: `${prefix}data.pkl`, bytes: pickle },
    ...Object.entries(storages).map(([key, bytes]) => ({ name: `${prefix}data/${key}`, bytes })),
    ...more,
  ]);
}

export const float32Bytes = (...values: readonly number[]): Uint8Array =>
  new Uint8Array(Float32Array.from(values).buffer);

/** A checkpoint in the form before torch 1.6. */
export function legacyBytes(
  pickle: Uint8Array,
  storages: readonly { readonly key: string; readonly count: number; readonly bytes: Uint8Array }[],
  { system = new Map([["little_endian", true]]), protocol = 1001 } = {},
): Buffer {
  const data = storages.flatMap(({ count, bytes }) => {
    const head = Buffer.alloc(8);
    head.writeBigInt64LE(BigInt(count));
    return [head, Buffer.from(bytes)];
  });
  return Buffer.concat([
    pickleBytes(0x1950a86a20f9469cfc6cn),
    pickleBytes(protocol),
    pickleBytes(system),
    pickle,
    pickleBytes(storages.map(({ key }) => key)),
    ...data,
  ]);
}
