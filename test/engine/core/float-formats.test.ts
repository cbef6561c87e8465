import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  byteViews,
  decodeFloats,
  FLOAT_BYTES,
  float16,
  FloatDecoder,
  type FloatType,
  narrowed,
} from "../../../src/engine/core/float-formats.ts";

/** binary16 by moving its bits to where float32 has them: no arithmetic but for subnormals, which are counted. */
function float16ByBits(bits: number): number {
  const sign = (bits & 0x8000) << 16;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const word = new Uint32Array(1);
  if (exponent === 31) word[0] = sign | 0x7f800000 | (fraction << 13);
  else if (exponent > 0) word[0] = sign | ((exponent + 127 - 15) << 23) | (fraction << 13);
  else if (fraction === 0) word[0] = sign;
  else {
    // A subnormal's leading one moves up to the hidden bit; each place costs the exponent one.
    const places = Math.clz32(fraction) - 21;
    word[0] = sign | ((113 - places) << 23) | (((fraction << places) & 0x3ff) << 13);
  }
  return new Float32Array(word.buffer)[0]!;
}

function decode(type: FloatType, bytes: Uint8Array): Float32Array {
  const into = new Float32Array(bytes.length / FLOAT_BYTES[type]);
  decodeFloats(bytes, type, into);
  return into;
}

describe("float16", () => {
  it("reads each of its 65,536 patterns as the number that it is", () => {
    for (let bits = 0; bits < 65_536; bits++) {
      const [read, right] = [float16(bits), float16ByBits(bits)];
      if (!Object.is(read, right)) expect.unreachable(`0x${bits.toString(16)} is read as ${read}, but is ${right}`);
    }
  });

  it("knows its landmarks", () => {
    expect([0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x3555].map(float16)).toEqual([
      1,
      -2,
      65_504,
      2 ** -14,
      2 ** -24,
      0.333251953125,
    ]);
  });
});

describe("FloatDecoder", () => {
  it("reads the same numbers however their bytes are cut", () => {
    const numbers = Float32Array.of(1, -2.5, 3e-20, 0, 7);
    const bytes = new Uint8Array(numbers.buffer);
    for (const length of [1, 3, 4, 7, 20]) {
      const into = new Float32Array(5);
      const decoder = new FloatDecoder("F32", into);
      for (let at = 0; at < bytes.length; at += length) decoder.push(bytes.subarray(at, at + length));
      expect(into).toEqual(numbers);
    }
  });
});

describe("byteViews", () => {
  it("covers an array and its offset, in views of a given length", () => {
    const floats = Float32Array.of(1, 2, 3, 4, 5).subarray(1);
    const views = byteViews(floats, 6);
    expect(views.map(({ length }) => length)).toEqual([6, 6, 4]);
    expect(Buffer.concat(views)).toEqual(Buffer.from(Float32Array.of(2, 3, 4, 5).buffer));
    expect(byteViews(new Float32Array())).toEqual([]);
  });
});

describe("narrowed", () => {
  it.each([
    ["F16", float16ByBits],
    ["BF16", (bits: number) => new Float32Array(Uint32Array.of(bits * 65_536).buffer)[0]!],
  ] as const)("gives every finite %s its own bits back", (type, valueOf) => {
    const patterns = Uint16Array.from({ length: 65_536 }, (_, bits) => bits).filter((bits) =>
      Number.isFinite(valueOf(bits)),
    );
    expect(narrowed(Float32Array.from(patterns, valueOf), type)).toEqual(patterns);
  });

  it("refuses numbers that the format lacks", () => {
    for (const value of [1 / 3, 65_520, 2 ** -25, 1 + 2 ** -11, Infinity]) {
      expect(narrowed(Float32Array.of(1, value), "F16")).toBeNull();
    }
    expect(narrowed(Float32Array.of(1, 1 + 2 ** -8), "BF16")).toBeNull();
  });
});

describe("decodeFloats", () => {
  it("reads every bfloat16 as the upper half of a float32", () => {
    const bytes = new Uint8Array(new Uint16Array(65_536).map((_, i) => i).buffer);
    const read = new Uint32Array(decode("BF16", bytes).buffer);
    for (let bits = 0; bits < 65_536; bits++) expect(read[bits]).toBe((bits << 16) >>> 0);
    expect([...decode("BF16", Uint8Array.of(0x80, 0x3f, 0x49, 0xc0))]).toEqual([1, -3.140625]);
  });

  it("copies float32 bit for bit and rounds float64 to the nearest", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ noNaN: true }), { maxLength: 20 }), (numbers) => {
        const singles = Float32Array.from(numbers);
        expect(decode("F32", new Uint8Array(singles.buffer))).toEqual(singles);
        expect(decode("F64", new Uint8Array(Float64Array.from(numbers).buffer))).toEqual(singles);
      }),
      { seed: 1 },
    );
  });

  it.each(Object.keys(FLOAT_BYTES) as FloatType[])("reads %s from and to any place", (type) => {
    const width = FLOAT_BYTES[type];
    const one = { F64: [0, 0, 0, 0, 0, 0, 0xf0, 0x3f], F32: [0, 0, 0x80, 0x3f], F16: [0, 0x3c], BF16: [0x80, 0x3f] };
    // An odd offset: bytes of a file or a body lie where they lie.
    const bytes = Uint8Array.from([7, ...one[type], ...one[type]]).subarray(1);
    const into = new Float32Array(5).fill(9);
    decodeFloats(bytes, type, into.subarray(1), 1);
    expect([...into]).toEqual([9, 9, 1, 1, 9]);
    expect(bytes.length).toBe(2 * width);
  });
});
