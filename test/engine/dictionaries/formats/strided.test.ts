import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isRowMajor, rowMajorStrides, toRowMajor } from "../../../../src/engine/dictionaries/formats/strided.ts";

/** Element by element. */
function naive(source: Float32Array, shape: readonly number[], strides: readonly number[]): number[] {
  if (shape.length === 0) return [source[0]!];
  const [size, ...inner] = shape;
  return Array.from({ length: size! }, (_, i) =>
    naive(source.subarray(i * strides[0]!), inner, strides.slice(1)),
  ).flat();
}

const view = fc
  .array(fc.tuple(fc.nat(5), fc.nat(9)), { maxLength: 4 })
  .map((axes) => ({ shape: axes.map(([size]) => size), strides: axes.map(([, stride]) => stride) }));

describe("a strided view", () => {
  it("comes out row by row, whatever its strides are", () => {
    fc.assert(
      fc.property(view, ({ shape, strides }) => {
        const span = shape.reduce((at, size, axis) => at + Math.max(size - 1, 0) * strides[axis]!, 1);
        const source = Float32Array.from({ length: span }, (_, i) => i + 1);
        const expected = shape.includes(0) ? [] : naive(source, shape, strides);
        expect([...toRowMajor(source, shape, strides)]).toEqual(expected);
        if (isRowMajor(shape, strides)) expect([...source].slice(0, expected.length)).toEqual(expected);
      }),
      { seed: 4, numRuns: 400 },
    );
  });

  it("larger than a tile comes out in order too", () => {
    const [rows, columns] = [130, 67];
    const source = Float32Array.from({ length: rows * columns }, (_, i) => i);
    const expected = Float32Array.from(source, (_, i) => (i % columns) * rows + Math.floor(i / columns));
    expect(toRowMajor(source, [rows, columns], [1, rows])).toEqual(expected);
  });

  it("is row-major where its strides are those of a dense array", () => {
    expect(rowMajorStrides([2, 3, 4])).toEqual([12, 4, 1]);
    expect(isRowMajor([2, 3, 4], [12, 4, 1])).toBe(true);
    expect(isRowMajor([2, 1, 4], [4, 99, 1])).toBe(true);
    expect(isRowMajor([2, 3], [1, 2])).toBe(false);
    expect(isRowMajor([], [])).toBe(true);
  });
});
