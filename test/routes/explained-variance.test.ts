import { describe, expect, it } from "vitest";
import { explainedVariance } from "../../src/routes/explained-variance.ts";
import { codesOf } from "../support/codes.ts";
import { normals } from "../support/seeded.ts";

const rowsOf = (data: readonly number[] | Float32Array, width: number) => ({
  data: Float32Array.from(data),
  count: data.length / width,
  width,
});
const coded = (...residualNorms: number[]) =>
  codesOf(
    residualNorms.map((residualNorm) => ({ entries: [], residualNorm })),
    4,
  );

describe("explainedVariance", () => {
  it("is 1 - Σ||x - x̂||² / Σ||x - mean||²", async () => {
    // Mean (2, 0); the rows are 1 and 1 away from it.
    expect(await explainedVariance(rowsOf([1, 0, 3, 0], 2), coded(0.5, 0.5))).toBe(1 - 0.5 / 2);
    expect(await explainedVariance(rowsOf([1, 0, 3, 0], 2), coded(0, 0))).toBe(1);
  });

  it("is negative where the mean would have done better", async () => {
    expect(await explainedVariance(rowsOf([1, 3], 1), coded(2, 2))).toBe(1 - 8 / 2);
  });

  it("is null where the rows do not vary", async () => {
    expect(await explainedVariance(rowsOf([1, 2], 2), coded(0.5))).toBeNull();
    expect(await explainedVariance(rowsOf([1, 2, 1, 2], 2), coded(0.5, 0.5))).toBeNull();
    expect(await explainedVariance(rowsOf([1, 2, 1, 2], 2), coded(0, 0))).toBeNull();
  });

  it("measures in the rows' space under an input norm", async () => {
    const norm = { shift: 9, scale: 4 };
    const codes = codesOf(
      [0.25, 0.25].map((residualNorm) => ({ entries: [], residualNorm, norm })),
      4,
    );
    expect(await explainedVariance(rowsOf([1, 0, 3, 0], 2), codes)).toBe(1 - 2 / 2);
  });

  it("keeps its digits far from zero", async () => {
    const data = normals(2000, 1).map((value) => Math.fround(value) + 4096);
    const expected = await explainedVariance(
      rowsOf(
        data.map((value) => value - 4096),
        2,
      ),
      coded(...Array<number>(1000).fill(1)),
    );
    expect(await explainedVariance(rowsOf(data, 2), coded(...Array<number>(1000).fill(1)))).toBeCloseTo(expected!, 9);
  });

  it("is the same over many rows, which are gone through in turns", async () => {
    const [count, width] = [1100, 1000];
    const data = normals(count * width, 2);
    const mean = Float64Array.from({ length: width }, (_, c) => {
      let sum = 0;
      for (let i = c; i < data.length; i += width) sum += data[i]!;
      return sum / count;
    });
    let variance = 0;
    for (const [i, value] of data.entries()) variance += (value - mean[i % width]!) ** 2;
    const found = await explainedVariance(rowsOf(data, width), coded(...Array<number>(count).fill(10)));
    expect(found).toBeCloseTo(1 - (100 * count) / variance, 10);
  });
});
