import { describe, expect, it } from "vitest";
import { parseNumbers, rowFromText, rowToText, shortNumbers } from "../../../web/src/rows/row-text.ts";

describe("pasted numbers", () => {
  it.each([
    "1, -2.5, 3e-3",
    "[1, -2.5, 0.003]",
    "[[1.0 -2.5\n 0.003]]",
    "1\t-2.5\t0.003\n",
    "array([1, -2.5, 0.003])",
    "tensor([ 1.0000, -2.5000,  0.0030])",
    "np.array([1, -2.5, 0.003])",
  ])("%j are a row", (text) => {
    expect([...parseNumbers(text)]).toEqual([1, -2.5, Math.fround(0.003)]);
  });

  it.each([
    ["1, two, 3", 'Number 2 is "two".'],
    ["1 2 nan", 'Number 3 is "nan".'],
    ["Infinity", 'Number 1 is "Infinity".'],
    ["  ", "Paste the numbers of one row."],
  ])("%j are refused with the word", (text, message) => {
    expect(() => parseNumbers(text)).toThrow(message);
  });
});

describe("a row in an address", () => {
  it("is the same row, bit for bit", () => {
    const row = Float32Array.of(0, -0, 1e-42, 3.4e38, -1 / 3, 255);
    const text = rowToText(row)!;
    expect(text).toMatch(/^[\w-]+$/);
    expect(new Uint8Array(rowFromText(text)!.buffer)).toEqual(new Uint8Array(row.buffer));
  });

  it("is none where it would be too long, and none where the text is broken", () => {
    expect(rowToText(new Float32Array(2049))).toBeNull();
    expect(rowToText(new Float32Array(2048))).not.toBeNull();
    for (const text of ["", "abc", "%", "AAAA"]) expect(rowFromText(text)).toBeNull();
  });
});

it("numbers are sent as the shortest decimals of the same float32", () => {
  const row = Float32Array.of(0.1, 1 / 3, 16777217, 1e-10, -0.25);
  expect(shortNumbers(row)).toEqual([0.1, 0.33333334, 16777216, 1e-10, -0.25]);
  expect(Float32Array.from(shortNumbers(row))).toEqual(row);
});
