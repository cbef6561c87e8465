import { describe, expect, it } from "vitest";
import { atomNorms } from "../../../src/engine/core/dictionary-weights.ts";

describe("atomNorms", () => {
  it("are lengths, in float64", () => {
    expect([...atomNorms({ atoms: Float32Array.of(3, 4, 0, 2, 1e30, 0), m: 3, d: 2 })]).toEqual([
      5,
      2,
      Math.fround(1e30),
    ]);
  });
});
