import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { rowSpread } from "../../../../src/engine/catalog/spread/row-spread.ts";
import { normals } from "../../../support/seeded.ts";
import { spreadOf } from "../../../support/spread.ts";

const rowsOf = (data: readonly number[] | Float32Array, width: number) => ({
  data: Float32Array.from(data),
  count: data.length / width,
  width,
});
const near = (expected: number): { min: number; max: number } => ({
  min: expected - 1e-9 * Math.abs(expected),
  max: expected + 1e-9 * Math.abs(expected),
});
const shapes = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }), fc.nat());

describe("rowSpread", () => {
  it("is Σ||x − mean||², whatever the width", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, async ([count, width, seed]) => {
        const rows = rowsOf(normals(count * width, seed), width);
        const { min, max } = near(spreadOf(rows));
        const spread = await rowSpread(rows);
        expect(spread).toBeGreaterThanOrEqual(min);
        expect(spread).toBeLessThanOrEqual(max);
      }),
    );
  });

  it("is not finite exactly where a value is not, wherever that stands", async () => {
    const odd = fc.constantFrom(Number.NaN, Infinity, -Infinity, 3.4028234663852886e38, -3.4028234663852886e38);
    await fc.assert(
      fc.asyncProperty(shapes, odd, fc.nat(), fc.boolean(), async ([count, width, seed], value, at, twice) => {
        const rows = rowsOf(normals(count * width, seed), width);
        rows.data[at % rows.data.length] = value;
        if (twice) rows.data[(at * 7) % rows.data.length] = -value;
        expect(Number.isFinite(await rowSpread(rows))).toBe(rows.data.every((one) => Number.isFinite(one)));
      }),
    );
  });

  it("is 0 where the rows do not vary, and without rows", async () => {
    expect(await rowSpread(rowsOf([1e30, 2], 2))).toBe(0);
    expect(await rowSpread(rowsOf([0.1, -2, 0.1, -2, 0.1, -2], 2))).toBe(0);
    expect(await rowSpread({ data: new Float32Array(0), count: 0, width: 8 })).toBe(0);
  });

  it("keeps its digits far from zero", async () => {
    // Steps of 2^-11, which float32 holds beside 4096.
    const data = normals(2000, 1).map((value) => Math.round(value * 2048) / 2048);
    const far = await rowSpread(
      rowsOf(
        data.map((value) => value + 4096),
        2,
      ),
    );
    expect(far / spreadOf(rowsOf(data, 2))).toBeCloseTo(1, 9);
  });

  it("goes through many rows in turns, to the same end", async () => {
    const rows = rowsOf(normals(2100 * 1000, 2), 1000);
    const found = rowSpread(rows);
    expect(found).toBeInstanceOf(Promise);
    expect((await found) / spreadOf(rows)).toBeCloseTo(1, 9);
    rows.data[rows.data.length - 1] = Number.NaN;
    expect(await rowSpread(rows)).toBeNaN();
  });

  it("takes rows wider than what its memory began with", async () => {
    const rows = rowsOf(normals(2 * 300_003, 3), 300_003);
    expect((await rowSpread(rows)) / spreadOf(rows)).toBeCloseTo(1, 9);
  });
});
