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
  it("is 1 - Σ||x - x̂||² / Σ||x - mean||²", () => {
    // Mean (2, 0); the rows are 1 and 1 away from it.
    expect(explainedVariance(rowsOf([1, 0, 3, 0], 2), coded(0.5, 0.5))).toBe(1 - 0.5 / 2);
    expect(explainedVariance(rowsOf([1, 0, 3, 0], 2), coded(0, 0))).toBe(1);
  });

  it("is negative where the mean would have done better", () => {
    expect(explainedVariance(rowsOf([1, 3], 1), coded(2, 2))).toBe(1 - 8 / 2);
  });

  it("is null where the rows do not vary", () => {
    expect(explainedVariance(rowsOf([1, 2], 2), coded(0.5))).toBeNull();
    expect(explainedVariance(rowsOf([1, 2, 1, 2], 2), coded(0.5, 0.5))).toBeNull();
    expect(explainedVariance(rowsOf([1, 2, 1, 2], 2), coded(0, 0))).toBeNull();
  });

  it("measures in the rows' space under an input norm", () => {
    const norm = { shift: 9, scale: 4 };
    const codes = codesOf(
      [0.25, 0.25].map((residualNorm) => ({ entries: [], residualNorm, norm })),
      4,
    );
    expect(explainedVariance(rowsOf([1, 0, 3, 0], 2), codes)).toBe(1 - 2 / 2);
  });

  it("keeps its digits far from zero", () => {
    const data = normals(2000, 1).map((value) => Math.fround(value) + 4096);
    const expected = explainedVariance(
      rowsOf(
        data.map((value) => value - 4096),
        2,
      ),
      coded(...Array<number>(1000).fill(1)),
    );
    expect(explainedVariance(rowsOf(data, 2), coded(...Array<number>(1000).fill(1)))).toBeCloseTo(expected!, 9);
  });
});
