import { describe, expect, it } from "vitest";
import { stepsUnder, toleranceForMean } from "../../../tools/bench/mean-tolerance.ts";
import { bytesOfPath, pathGroups } from "../../../tools/bench/path-groups.ts";
import { ReadBandwidth } from "../../../tools/bench/read-bandwidth.ts";
import { ruleVerdict } from "../../../tools/bench/rule-check.ts";
import { straightLine } from "../../../tools/bench/straight-line.ts";

describe("toleranceForMean", () => {
  const curves = [
    [1, 0.8, 0.5, 0.2, 0.1],
    [1, 0.9, 0.7, 0.6, 0.3],
  ];

  it("counts the steps until a row's error is at most the tolerance", () => {
    expect(stepsUnder(curves[0]!, 0.5)).toBe(2);
    expect(stepsUnder(curves[0]!, 1)).toBe(0);
    expect(stepsUnder(curves[0]!, 0.05)).toBe(4);
  });

  it("finds the tolerance of a mean number of steps", () => {
    const tolerance = toleranceForMean(curves, 3);
    const mean = curves.reduce((sum, curve) => sum + stepsUnder(curve, tolerance), 0) / 2;
    expect(mean).toBe(3);
  });
});

describe("straightLine", () => {
  it("finds a line, and that nothing lies beside it", () => {
    const { base, slope, off } = straightLine([1, 4, 9, 30].map((x) => [x, 7 + 3 * x]));
    expect(base).toBeCloseTo(7, 9);
    expect(slope).toBeCloseTo(3, 9);
    expect(off).toBeCloseTo(0, 9);
  });

  it("says how far a curve lies beside its line", () => {
    expect(straightLine([1, 2, 4, 8].map((x) => [x, x * x])).off).toBeGreaterThan(0.3);
    expect(() =>
      straightLine([
        [1, 1],
        [2, 2],
      ]),
    ).toThrow("three");
  });
});

describe("ruleVerdict", () => {
  it("agrees with what was fastest, or as good as", () => {
    expect(
      ruleVerdict(
        "fused",
        new Map([
          ["fused", 100],
          ["gram", 97],
        ]),
      ),
    ).toContain("agrees");
    expect(
      ruleVerdict(
        "fused",
        new Map([
          ["fused", 100],
          ["gram", 80],
        ]),
      ),
    ).toContain("DISAGREES, gram took 0.80");
    expect(ruleVerdict("fused", new Map([["gram", 80]]))).toContain("not measured");
  });
});

describe("pathGroups", () => {
  const paths = ["fused", "gram", "residual"] as const;

  it("holds all paths at once where memory allows", () => {
    expect(pathGroups(paths, 8, 64, 1e9)).toEqual([["fused", "gram", "residual"]]);
  });

  it("parts them where it does not, and leaves out what fits in no way", () => {
    const fused = bytesOfPath("fused", 8, 1024);
    const gram = bytesOfPath("gram", 8, 1024);
    expect(pathGroups(paths, 8, 1024, gram + 1)).toEqual([["fused"], ["gram"], ["residual"]]);
    expect(pathGroups(paths, 8, 1024, fused)).toEqual([["fused"], ["residual"]]);
  });
});

describe("ReadBandwidth", () => {
  it("reads the whole buffer by all threads, every time it is asked", async () => {
    const bandwidth = await ReadBandwidth.create(2, 1 << 22);
    // It throws where a thread did not come to the end of its part, or the figure is impossible.
    for (let i = 0; i < 3; i++) expect(bandwidth.measure()).toBeGreaterThan(0);
    await bandwidth.close();
  });
});
