import type { TensorHead } from "./tensor-file.ts";

/** Small integer tensors, such as k or the sizes of groups: settings that a module saved as buffers. */

/** Elements that a setting may have. */
export const MAX_SETTING_ELEMENTS = 1024;

interface IntegerType {
  /** Bytes an element. */
  readonly width: number;
  readonly read: (bytes: Buffer, at: number) => number | boolean;
}

const INTEGERS: Readonly<Record<string, IntegerType>> = {
  I64: { width: 8, read: (bytes, at) => Number(bytes.readBigInt64LE(at)) },
  I32: { width: 4, read: (bytes, at) => bytes.readInt32LE(at) },
  I16: { width: 2, read: (bytes, at) => bytes.readInt16LE(at) },
  I8: { width: 1, read: (bytes, at) => bytes.readInt8(at) },
  U8: { width: 1, read: (bytes, at) => bytes.readUInt8(at) },
  BOOL: { width: 1, read: (bytes, at) => bytes.readUInt8(at) !== 0 },
};

/** Whether a tensor is one: a number, or a list of a few. */
export function isSetting({ dtype, shape }: TensorHead): boolean {
  return Object.hasOwn(INTEGERS, dtype) && shape.length < 2 && (shape[0] ?? 1) <= MAX_SETTING_ELEMENTS;
}

/** Its value: a number without a shape, else a list. @param stride elements from one to the next */
export function settingOf(
  { dtype, shape }: TensorHead,
  bytes: Uint8Array,
  { offset = 0, stride = 1 } = {},
): number | boolean | (number | boolean)[] {
  const { width, read } = INTEGERS[dtype]!;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const value = (i: number): number | boolean => read(buffer, (offset + i * stride) * width);
  return shape.length === 0 ? value(0) : Array.from({ length: shape[0]! }, (_, i) => value(i));
}
