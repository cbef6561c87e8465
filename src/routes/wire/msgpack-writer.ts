/** Bytes of a first buffer; it doubles as it fills. */
const FIRST_BYTES = 4096;

/** A key in its MessagePack bytes, made once: what an answer repeats for each of its rows. */
export const keyOf = (name: string): Buffer => {
  const writer = new MsgpackWriter();
  writer.text(name);
  return Buffer.from(writer.bytes());
};

const DATA = "data";
const DTYPE = "dtype";
const SHAPE = "shape";

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
    this.#buffer.set(key, this.#at);
    this.#at += key.length;
    return this;
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
  array(column: Float32Array | Uint32Array | Uint8Array, shape: readonly number[] = [column.length]): this {
    const dtype = column instanceof Float32Array ? "float32" : column instanceof Uint32Array ? "uint32" : "uint8";
    this.map(3).text(DATA).#bin(column).text(DTYPE).text(dtype).text(SHAPE).list(shape.length);
    for (const size of shape) this.uint(size);
    return this;
  }

  #bin({ buffer, byteOffset, byteLength }: Float32Array | Uint32Array | Uint8Array): this {
    this.#room(byteLength + 5);
    if (byteLength < 256) this.#byte(0xc4).#byte(byteLength);
    else if (byteLength < 65_536) this.#byte(0xc5).#u16(byteLength);
    else this.#byte(0xc6).#u32(byteLength);
    this.#buffer.set(new Uint8Array(buffer, byteOffset, byteLength), this.#at);
    this.#at += byteLength;
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
