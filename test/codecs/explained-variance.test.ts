import { describe, expect, it } from "vitest";
import { explainedVariance } from "../../src/codecs/write-codes.ts";
import { codesOf } from "../support/codes.ts";

const coded = (...residualNorms: number[]) =>
  codesOf(
    residualNorms.map((residualNorm) => ({ entries: [], residualNorm })),
    4,
  );

describe("explainedVariance", () => {
  it("is 1 - Σ||x - x̂||² / Σ||x - mean||²", () => {
    expect(explainedVariance(coded(0.5, 0.5), 2)).toBe(1 - 0.5 / 2);
    expect(explainedVariance(coded(0, 0), 2)).toBe(1);
  });

  it("is negative where the mean would have done better", () => {
    expect(explainedVariance(coded(2, 2), 2)).toBe(1 - 8 / 2);
  });

  it("is null where the rows do not vary", () => {
    expect(explainedVariance(coded(0.5), 0)).toBeNull();
    expect(explainedVariance(coded(0.5, 0.5), 0)).toBeNull();
    expect(explainedVariance(coded(0, 0), 0)).toBeNull();
  });

  it("measures in the rows' space under an input norm", () => {
    const norm = { shift: 9, scale: 4 };
    const codes = codesOf(
      [0.25, 0.25].map((residualNorm) => ({ entries: [], residualNorm, norm })),
      4,
    );
    expect(explainedVariance(codes, 2)).toBe(1 - 2 / 2);
  });
});
