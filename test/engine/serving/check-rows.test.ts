import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkFinite, checkWidth } from "../../../src/engine/serving/check-rows.ts";
import type { Rows } from "../../../src/engine/core/rows.ts";
import { normals } from "../../support/seeded.ts";
import { totalVarianceOf } from "../../support/total-variance.ts";

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

const variance = async (rows: Rows, onTurn = (): void => {}): Promise<number> =>
  (await checkFinite(rows, { summary: true, onTurn }))!;

describe("the check of rows", () => {
  it("sums up Σ||x − mean||², whatever the width", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, async ([count, width, seed]) => {
        const rows = rowsOf(normals(count * width, seed), width);
        const { min, max } = near(totalVarianceOf(rows));
        const total = await variance(rows);
        expect(total).toBeGreaterThanOrEqual(min);
        expect(total).toBeLessThanOrEqual(max);
      }),
    );
  });

  it("refuses exactly what is not finite, and says where that stands", async () => {
    const odd = fc.constantFrom(Number.NaN, Infinity, -Infinity, 3.4028234663852886e38, -3.4028234663852886e38);
    await fc.assert(
      fc.asyncProperty(shapes, odd, fc.nat(), fc.boolean(), async ([count, width, seed], value, at, twice) => {
        const rows = rowsOf(normals(count * width, seed), width);
        rows.data[at % rows.data.length] = value;
        if (twice) rows.data[(at * 7) % rows.data.length] = -value;
        const first = rows.data.findIndex((one) => !Number.isFinite(one));
        if (first < 0) {
          expect(await variance(rows)).toBeGreaterThanOrEqual(0);
          return;
        }
        const message = `Row ${Math.floor(first / width)}, column ${first % width} is ${rows.data[first]};`;
        const refusal = { code: "PURSUIT_NOT_FINITE", message: expect.stringContaining(message) };
        for (const summary of [true, false]) {
          const checked = async () => checkFinite(rows, { summary, onTurn: () => {} });
          await expect(checked()).rejects.toMatchObject(refusal);
        }
      }),
    );
  });

  it("goes through few rows at once", () => {
    const rows = rowsOf([0, 0, 2, 0], 2);
    expect(checkFinite(rows, { summary: true, onTurn: () => {} })).toBe(2);
    expect(checkFinite(rows, { summary: false, onTurn: () => {} })).toBeNull();
  });

  it("is 0 where the rows do not vary, and without rows", async () => {
    expect(await variance(rowsOf([1e30, 2], 2))).toBe(0);
    expect(await variance(rowsOf([0.1, -2, 0.1, -2, 0.1, -2], 2))).toBe(0);
    expect(await variance({ data: new Float32Array(0), count: 0, width: 8 })).toBe(0);
  });

  it("keeps its digits far from zero", async () => {
    // Steps of 2^-11, which float32 holds beside 4096.
    const data = normals(2000, 1).map((value) => Math.round(value * 2048) / 2048);
    const far = await variance(
      rowsOf(
        data.map((value) => value + 4096),
        2,
      ),
    );
    expect(far / totalVarianceOf(rowsOf(data, 2))).toBeCloseTo(1, 9);
  });

  it("goes through many rows in turns, to the same end", async () => {
    const rows = rowsOf(normals(2100 * 1000, 2), 1000);
    let turns = 0;
    const total = await variance(rows, () => turns++);
    expect(turns).toBe(2);
    expect(total / totalVarianceOf(rows)).toBeCloseTo(1, 9);
    rows.data[rows.data.length - 1] = Number.NaN;
    await expect(variance(rows)).rejects.toThrow("Row 2099, column 999 is NaN;");
  });

  it("ends where a turn says so", async () => {
    const rows = rowsOf(normals(2100 * 1000, 2), 1000);
    const late = (): never => {
      throw new Error("nobody waits");
    };
    await expect(variance(rows, late)).rejects.toThrow("nobody waits");
  });

  it("takes rows of any width", async () => {
    const rows = rowsOf(normals(2 * 300_003, 3), 300_003);
    expect((await variance(rows)) / totalVarianceOf(rows)).toBeCloseTo(1, 9);
  });
});

describe("checkWidth", () => {
  it("says which width was given and which is needed", () => {
    expect(() => checkWidth(rowsOf([1, 2], 2), { dIn: 384 })).toThrow(
      "The rows are 2 wide; this dictionary takes rows of 384.",
    );
  });

  it("says how the layers of a row may stand side by side", () => {
    expect(() => checkWidth(rowsOf([1, 2], 2), { dIn: 12, layers: 3 })).toThrow(
      "takes rows of 12, or of 3 layers of 4: [n, 3, 4].",
    );
  });
});
