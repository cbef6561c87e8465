/** Bytes of a first buffer; it doubles as it fills. */
const FIRST_BYTES = 4096;

/** Bytes up to which they are copied one by one: a call to copy them takes as long as that. */
const COPIED_SINGLY = 32;

type Numbers = Float32Array | Uint32Array | Uint8Array;

/** A column of numbers as the writer takes parts of it: its bytes, seen once for all of them. */
export interface ByteColumn {
  readonly bytes: Uint8Array;
  /** Of one number, in bytes. */
  readonly size: number;
  /** What stands between the numbers and their shape. */
  readonly between: Buffer;
}

/**
 * MessagePack into one growing buffer. msgpackr's packer takes objects, and an answer would be made of some twenty for
 * each of its rows only to be written; float32 columns go out as the bytes that they are.
 */
export class MsgpackWriter {
  #buffer: Buffer;
  #at = 0;

  /** @param expected bytes that will be written, as near as it is known */
  constructor(expected = FIRST_BYTES) {
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(64, expected));
  }

  /** What was written: a view of memory that nobody else has. */
  bytes(): Buffer<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#at) as Buffer<ArrayBuffer>;
  }

  map(entries: number): this {
    return this.#head(entries, 0x80, 16, 0xde);
  }

  list(entries: number): this {
    return this.#head(entries, 0x90, 16, 0xdc);
  }

  /** A key made by {@link keyOf}. */
  key(key: Uint8Array): this {
    this.#room(key.length);
    return this.#put(key, 0, key.length);
  }

  text(text: string): this {
    const length = Buffer.byteLength(text);
    this.#room(length + 5);
    if (length < 32) this.#byte(0xa0 | length);
    else if (length < 256) this.#byte(0xd9).#byte(length);
    else if (length < 65_536) this.#byte(0xda).#u16(length);
    else this.#byte(0xdb).#u32(length);
    this.#at += this.#buffer.write(text, this.#at);
    return this;
  }

  /** An integer from 0 to 2^32 - 1. */
  uint(value: number): this {
    this.#room(5);
    if (value < 128) return this.#byte(value);
    if (value < 256) return this.#byte(0xcc).#byte(value);
    if (value < 65_536) return this.#byte(0xcd).#u16(value);
    return this.#byte(0xce).#u32(value);
  }

  float32(value: number): this {
    this.#room(5);
    this.#byte(0xca);
    this.#at = this.#buffer.writeFloatBE(value, this.#at);
    return this;
  }

  float64(value: number): this {
    this.#room(9);
    this.#byte(0xcb);
    this.#at = this.#buffer.writeDoubleBE(value, this.#at);
    return this;
  }

  nil(): this {
    this.#room(1);
    return this.#byte(0xc0);
  }

  /** `{data, dtype, shape}`, the data plain bin, which every MessagePack reads and `numpy.frombuffer` takes. */
  array(column: Numbers, shape: readonly number[] = [column.length]): this {
    this.#numbers(byteColumn(column), 0, column.length).list(shape.length);
    for (const size of shape) this.uint(size);
    return this;
  }

  /** The same of numbers [from, to) of a column. */
  part(column: ByteColumn, from: number, to: number): this {
    return this.#numbers(column, from, to)
      .list(1)
      .uint(to - from);
  }

  /** All of an array but its shape. */
  #numbers({ bytes, size, between }: ByteColumn, from: number, to: number): this {
    const length = (to - from) * size;
    this.#room(BEFORE.length + 5 + length + between.length);
    this.#put(BEFORE, 0, BEFORE.length);
    if (length < 256) this.#byte(0xc4).#byte(length);
    else if (length < 65_536) this.#byte(0xc5).#u16(length);
    else this.#byte(0xc6).#u32(length);
    return this.#put(bytes, from * size, to * size).#put(between, 0, between.length);
  }

  /** Bytes [from, to) of some, where there is room. */
  #put(bytes: Uint8Array, from: number, to: number): this {
    if (to - from > COPIED_SINGLY) {
      this.#buffer.set(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to), this.#at);
      this.#at += to - from;
    } else for (let i = from; i < to; i++) this.#buffer[this.#at++] = bytes[i]!;
    return this;
  }

  #head(entries: number, fixed: number, below: number, wide: number): this {
    this.#room(5);
    if (entries < below) return this.#byte(fixed | entries);
    if (entries < 65_536) return this.#byte(wide).#u16(entries);
    return this.#byte(wide + 1).#u32(entries);
  }

  #byte(value: number): this {
    this.#buffer[this.#at++] = value;
    return this;
  }

  #u16(value: number): this {
    this.#at = this.#buffer.writeUInt16BE(value, this.#at);
    return this;
  }

  #u32(value: number): this {
    this.#at = this.#buffer.writeUInt32BE(value, this.#at);
    return this;
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}

/** A key in its MessagePack bytes, made once: what an answer repeats for each of its rows. */
export const keyOf = (name: string): Buffer => Buffer.from(new MsgpackWriter().text(name).bytes());

/** What stands around the numbers of an array, in MessagePack: the map's head and first key; then its other keys. */
const BEFORE = Buffer.concat([Buffer.of(0x83), keyOf("data")]);
const BETWEEN = {
  float32: Buffer.concat([keyOf("dtype"), keyOf("float32"), keyOf("shape")]),
  uint32: Buffer.concat([keyOf("dtype"), keyOf("uint32"), keyOf("shape")]),
  uint8: Buffer.concat([keyOf("dtype"), keyOf("uint8"), keyOf("shape")]),
} as const;

export function byteColumn(column: Numbers): ByteColumn {
  const dtype = column instanceof Float32Array ? "float32" : column instanceof Uint32Array ? "uint32" : "uint8";
  return {
    bytes: new Uint8Array(column.buffer, column.byteOffset, column.byteLength),
    size: column.BYTES_PER_ELEMENT,
    between: BETWEEN[dtype],
  };
}
