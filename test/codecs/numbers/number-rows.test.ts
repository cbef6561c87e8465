import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NumberKernel } from "../../../src/codecs/numbers/number-rows.ts";

const kernel = new NumberKernel();
const read = (text: string): number[] | null => {
  const numbers = kernel.read(Buffer.from(text));
  return numbers === null ? null : [...numbers];
};
const asJson = (text: string): number[] => (JSON.parse(`[${text}]`) as number[]).map(Math.fround);

const digits = (most: number) => fc.stringMatching(new RegExp(`^[0-9]{1,${most}}$`));
/** Numbers as JSON may write them: any count of digits, of zeros before and after, any exponent. */
const written = fc
  .record({
    minus: fc.boolean(),
    whole: fc.oneof(
      fc.constant("0"),
      digits(22).map((text) => text.replace(/^0+(?=.)/, "")),
    ),
    zeros: fc.integer({ min: 0, max: 12 }),
    part: fc.option(digits(22)),
    power: fc.option(fc.integer({ min: -60, max: 60 })),
    letter: fc.constantFrom("e", "E", "e+"),
  })
  .map(({ minus, whole, zeros, part, power, letter }) => {
    const fraction = part === null ? "" : `.${"0".repeat(zeros)}${part}`;
    const exponent = power === null ? "" : power < 0 ? `${letter[0]}${power}` : `${letter}${power}`;
    return `${minus ? "-" : ""}${whole}${fraction}${exponent}`;
  });

/** Every float32, by its bits. */
const float32 = fc
  .integer({ min: 0, max: 0xffffffff })
  .map((bits) => new Float32Array(Uint32Array.of(bits).buffer)[0]!)
  .filter(Number.isFinite);

describe("NumberKernel", () => {
  it("reads what JSON.parse and a rounding to float32 read, or says that it cannot", () => {
    fc.assert(
      fc.property(written, (text) => {
        const numbers = read(text);
        if (numbers !== null) expect(numbers).toEqual(asJson(text));
        if (asJson(text).some((value) => !Number.isFinite(value))) expect(numbers).toBeNull();
      }),
      { numRuns: 20_000 },
    );
  });

  it("reads every float32 as Python and JavaScript write it, and with 17 digits, to the bit", () => {
    fc.assert(
      fc.property(float32, (value) => {
        for (const text of [String(value), value.toPrecision(17), value.toExponential(16), value.toPrecision(9)]) {
          expect(read(text)).toEqual([value]);
        }
      }),
      { numRuns: 20_000 },
    );
  });

  it("reads random float64 numbers in their shortest form and with 17 digits as JSON.parse does", () => {
    const float64 = fc.double({ min: -3e38, max: 3e38, noNaN: true }).filter((value) => Math.abs(value) > 1e-44);
    fc.assert(
      fc.property(float64, (value) => {
        for (const text of [String(value), value.toPrecision(17), value.toExponential(16)]) {
          expect(read(text)).toEqual(asJson(text));
        }
      }),
      { numRuns: 20_000, seed: 6 },
    );
  });

  it("reads numbers about half way between two of float32 as JSON.parse does, or leaves them", () => {
    fc.assert(
      fc.property(
        float32,
        fc.integer({ min: -3, max: 3 }),
        fc.integer({ min: 12, max: 21 }),
        (value, steps, precision) => {
          const bits = new Float64Array([value]);
          // The middle between a float32 and the next is 2^28 float64 steps on.
          const words = new BigInt64Array(bits.buffer);
          words[0] = words[0]! + (1n << 28n) + BigInt(steps);
          fc.pre(Number.isFinite(bits[0]));
          const text = bits[0]!.toPrecision(precision);
          const numbers = read(text);
          if (numbers !== null) expect(numbers).toEqual(asJson(text));
        },
      ),
      { numRuns: 20_000 },
    );
    // Exactly half way, where even wins: representable, so certain.
    expect(read("16777217,16777219")).toEqual([16777216, 16777220]);
  });

  it("leaves what float32 does not reach to whoever says so", () => {
    expect(read("1e39,-1e40")).toBeNull();
    expect(read("3.4028234663852886e38")).toEqual([3.4028234663852886e38]);
    expect(read("3.4028235677973366e38")).toBeNull();
  });

  it("reads lists with white space, signs, exponents and zeros", () => {
    expect(read(" 1 ,\t-2.5\r\n, 3e2,4E-1 ,0,-0, 0.0e5")).toEqual([1, -2.5, 300, Math.fround(0.4), 0, -0, 0]);
    expect(read("")).toEqual([]);
    expect(read(" \n ")).toEqual([]);
  });

  it.each([
    "01",
    "-",
    "+1",
    ".5",
    "1.",
    "1.e3",
    "1e",
    "1e+",
    "1,",
    ",1",
    "1,,2",
    "1 2",
    "--1",
    "NaN",
    "Infinity",
    "-Infinity",
    "null",
    '"1"',
    "[1",
    "1]",
    "{",
    "0x10",
    "1e9999",
    "1\u00a0",
    "1/2",
    "1:2",
  ])("leaves %j alone", (text) => {
    expect(read(text)).toBeNull();
  });

  it("leaves anything that is not a list of JSON numbers alone", () => {
    const piece = fc.constantFrom(
      "0",
      "1",
      "9",
      "12345678",
      ".",
      "-",
      "+",
      "e",
      "E",
      ",",
      " ",
      "\n",
      "[",
      '"',
      "N",
      "\0",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join("");
        const numbers = read(text);
        if (numbers !== null) expect(numbers).toEqual(asJson(text));
      }),
      { numRuns: 20_000 },
    );
  });

  it("leaves a list alone that is longer than its memory", () => {
    expect(read("1".repeat(2 ** 20 + 1))).toBeNull();
    expect(read(`1${",1".repeat(2 ** 19 - 1)}`)).toHaveLength(2 ** 19);
  });
});
