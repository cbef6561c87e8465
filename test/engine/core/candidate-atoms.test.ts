import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LargestKeys } from "../../../src/engine/core/candidate-atoms.ts";

/** Few distinct values, so that ties are common. */
const keys = fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constantFrom(Infinity, -Infinity, NaN)), {
  minLength: 1,
  maxLength: 60,
});

describe("LargestKeys", () => {
  it("selects what a stable sort puts first, lower indices first on a tie, NaN never", () => {
    fc.assert(
      fc.property(keys, fc.integer({ min: 1, max: 70 }), (row, k) => {
        const expected = Array.from(row.keys())
          .filter((j) => !Number.isNaN(row[j]))
          .sort((a, b) => (row[a] === row[b] ? a - b : row[b]! > row[a]! ? 1 : -1))
          .slice(0, k)
          .sort((a, b) => a - b);
        expect([...new LargestKeys(k).select(Float32Array.from(row))]).toEqual(expected);
      }),
      { seed: 1, numRuns: 2000 },
    );
  });

  it("starts anew with every row", () => {
    const largest = new LargestKeys(2);
    expect([...largest.select(Float32Array.of(9, 8, 7))]).toEqual([0, 1]);
    expect([...largest.select(Float32Array.of(1, 2, 3))]).toEqual([1, 2]);
    expect([...largest.select(Float32Array.of(NaN, 1, NaN))]).toEqual([1]);
  });
});
