import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { shortestFloat32, shortestFloats } from "../../src/codecs/shortest-float32.ts";

const bits = new DataView(new ArrayBuffer(4));
function float32Of(pattern: number): number {
  bits.setUint32(0, pattern);
  return bits.getFloat32(0);
}

/** Significant digits of a number's shortest text. */
const digitsOf = (value: number): number =>
  value.toExponential().replace(/^-/, "").replace(/e.*$/, "").replace(".", "").length;

/** Fewest digits of any decimal that is this float32: for each length, the two decimals around it are tried. */
function fewestDigits(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e") as [string, string];
    for (const step of [-1, 0, 1]) {
      const whole = BigInt(mantissa.replace(".", "")) + BigInt(step);
      if (Math.fround(Number(`${whole}e${Number(exponent) - digits + 1}`)) === value) return digits;
    }
  }
  return 9;
}

/** All floats alike by their bits, so that every magnitude comes up, subnormals too. */
const anyFloat = fc
  .integer({ min: 0, max: 0xffffffff })
  .map(float32Of)
  .filter((value) => Number.isFinite(value) && value !== 0);
const ordinary = fc.float({ min: -4, max: 4, noNaN: true }).filter((value) => value !== 0);

describe("shortestFloat32", () => {
  it("is a decimal of the same float32, with no digit more than it needs", () => {
    fc.assert(
      fc.property(fc.oneof(anyFloat, ordinary), (value) => {
        const shortest = shortestFloat32(value);
        expect(Math.fround(shortest)).toBe(value);
        expect(digitsOf(shortest)).toBe(fewestDigits(value));
      }),
      { seed: 1, numRuns: 20_000 },
    );
  });

  it("holds at every power of two and beside it, but for three that get a digit more", () => {
    // A power of two is farther from the float above than from the one below. At these, the shortest decimal is not the
    // nearest of its length, but the one above that; no other float32 is so.
    const longer = new Set([2 ** -96, 2 ** 87, 2 ** 90]);
    for (let exponent = 0; exponent < 255; exponent++) {
      for (const offset of [-1, 0, 1]) {
        const value = float32Of(Math.max(1, (exponent << 23) + offset));
        const shortest = shortestFloat32(value);
        expect(Math.fround(shortest)).toBe(value);
        expect(digitsOf(shortest), String(value)).toBe(fewestDigits(value) + (longer.has(value) ? 1 : 0));
      }
    }
  });

  it("prints what people write", () => {
    const written = [0.1, -0.3, 1e-45, 3.4028235e38, 16_777_216, 0.001, 123_456.7, 1e10, 1.1754944e-38, 0, -7];
    expect(written.map((value) => shortestFloat32(Math.fround(value)))).toEqual(written);
  });

  it("does the same for a column", () => {
    expect(JSON.stringify(shortestFloats(Float32Array.of(0.1, 1 / 3, 0, 100)))).toBe("[0.1,0.33333334,0,100]");
  });
});
