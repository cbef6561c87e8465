/** Floating-point formats of weight files and bodies, converted to float32. */

/** IEEE 754 binary16 → float32, by value: subnormals, infinities and NaN included. */
export function float16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The largest finite float32. */
export const LARGEST_FLOAT32 = 3.4028234663852886e38;

/** Supported element types and their bytes. */
export const FLOAT_BYTES = { F64: 8, F32: 4, F16: 2, BF16: 2 } as const;
export type FloatType = keyof typeof FLOAT_BYTES;

/**
 * Little-endian numbers → float32. The bytes need no alignment.
 * F64 is rounded to nearest; F16 and BF16 are exact.
 */
export function decodeFloats(bytes: Uint8Array, type: FloatType, into: Float32Array, at = 0): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.byteLength / FLOAT_BYTES[type];
  switch (type) {
    case "F32": {
      // One copy: memory and file are both little-endian on every supported platform.
      new Uint8Array(into.buffer, into.byteOffset + at * 4, bytes.byteLength).set(bytes);
      return;
    }
    case "F64": {
      for (let i = 0; i < count; i++) into[at + i] = view.getFloat64(i * 8, true);
      return;
    }
    case "F16": {
      for (let i = 0; i < count; i++) into[at + i] = float16(view.getUint16(i * 2, true));
      return;
    }
    case "BF16": {
      // bfloat16 is the upper half of a float32.
      const words = new Uint32Array(into.buffer, into.byteOffset + at * 4, count);
      for (let i = 0; i < count; i++) words[i] = view.getUint16(i * 2, true) << 16;
    }
  }
}

/** Decodes numbers as their bytes come, in pieces of any length. */
export class FloatDecoder {
  readonly #type: FloatType;
  readonly #into: Float32Array;
  #at = 0;
  /** Bytes of an element that the next piece completes. */
  #rest: Uint8Array = new Uint8Array(0);

  constructor(type: FloatType, into: Float32Array) {
    this.#type = type;
    this.#into = into;
  }

  push(piece: Uint8Array): void {
    const size = FLOAT_BYTES[this.#type];
    const bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    const whole = bytes.length - (bytes.length % size);
    decodeFloats(bytes.subarray(0, whole), this.#type, this.#into, this.#at);
    this.#at += whole / size;
    this.#rest = bytes.slice(whole);
  }
}

/** Numbers that one array may have in Node 20: 16 GiB of float32. */
export const MAX_FLOATS = 2 ** 32;

/** Bytes of one view: Node 20 makes none of over 4 GiB, and its calls move 2 GiB at most. */
const VIEW_BYTES = 2 ** 30;

/** The bytes of an array of any size, as views one after another. */
export function byteViews(
  { buffer, byteOffset, byteLength }: Float32Array | Uint16Array,
  most = VIEW_BYTES,
): Uint8Array[] {
  const views: Uint8Array[] = [];
  for (let at = 0; at < byteLength; at += most) {
    views.push(new Uint8Array(buffer, byteOffset + at, Math.min(most, byteLength - at)));
  }
  return views;
}

/** Formats of 16 bits. */
export type HalfType = "F16" | "BF16";

/** float32 → the same numbers in 16 bits; null where one of them has no equal there. */
export function narrowed(values: Float32Array, type: HalfType): Uint16Array | null {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const half = type === "BF16" ? bfloat16Bits(words[i]!) : float16Bits(words[i]!);
    if (half < 0) return null;
    bits[i] = half;
  }
  return bits;
}

/** bfloat16 of a float32's bits; -1 where it has none. */
const bfloat16Bits = (word: number): number => ((word & 0xffff) === 0 ? word >>> 16 : -1);

/** binary16 of a float32's bits; -1 where it has none. */
function float16Bits(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const exponent = ((word >>> 23) & 0xff) - 127;
  const fraction = word & 0x7fffff;
  if ((word & 0x7fffffff) === 0) return sign;
  if (exponent > 15 || exponent < -24) return -1;
  // A subnormal has its leading one among the bits that are shifted out of a normal number's place.
  const dropped = 13 + Math.max(0, -14 - exponent);
  const mantissa = exponent < -14 ? 0x800000 | fraction : fraction;
  if ((mantissa & ((1 << dropped) - 1)) !== 0) return -1;
  return sign | (exponent < -14 ? 0 : (exponent + 15) << 10) | (mantissa >>> dropped);
}
