import { describe, expect, it } from "vitest";
import { chosenShapes, seeded, SHAPES, workload } from "../../../tools/bench/shapes.ts";

describe("the shapes of the bench", () => {
  it("are five, the first on the shipped dictionary", () => {
    expect(SHAPES.map(({ d, m, steps, goal }) => [d, m, steps, goal])).toEqual([
      [384, 4096, 16, 10],
      [768, 4096, 25, 13],
      [768, 24576, 32, 16],
      [2304, 16384, 64, 30],
      [2304, 32768, 85, 30],
    ]);
  });

  it("are chosen by number, all of them or the first two", () => {
    expect(chosenShapes(undefined, false)).toEqual(SHAPES);
    expect(chosenShapes(undefined, true)).toEqual(SHAPES.slice(0, 2));
    expect(chosenShapes("3,1", true)).toEqual([SHAPES[2], SHAPES[0]]);
    expect(() => chosenShapes("6", false)).toThrow("there are 5");
  });

  it("repeat the shipped dictionary's held-out rows, and say so", async () => {
    const { weights, rows, origin } = await workload(SHAPES[0]!, 65);
    expect(rows).toHaveLength(65 * 384);
    expect(weights.m).toBe(4096);
    expect(origin).toBe("rows: 64 held-out examples of models/minilm-wordnet-mp, repeated");
    expect(rows.subarray(64 * 384)).toEqual(rows.subarray(0, 384));
  });

  it("make unit atoms, and rows that do not depend on how many are asked for", () => {
    const shape = { d: 16, m: 32, steps: 4 };
    const { weights, rows } = seeded(shape, 3);
    for (let j = 0; j < 32; j++) expect(Math.hypot(...weights.atoms.subarray(j * 16, (j + 1) * 16))).toBeCloseTo(1, 6);
    expect(seeded(shape, 5).rows.subarray(0, 3 * 16)).toEqual(rows);
    expect(rows.every((x) => Number.isFinite(x))).toBe(true);
  });
});
