/** Comparisons of two sets of codes against scipy's and scikit-learn's figures (tools/fixtures/make_contrast.py). */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { contrast, type ContrastOptions, divisionSteps, type FeatureCodes } from "../../../src/engine/core/contrast.ts";

interface Case {
  readonly name: string;
  readonly a: number[][];
  readonly b: number[][];
  readonly permutations: number;
  readonly seed: number;
  readonly overlap: number;
  readonly chance: object;
  readonly features: readonly { readonly index: number; readonly jensenShannon: number }[];
}
const cases = JSON.parse(
  readFileSync(new URL("../../fixtures/contrast.json", import.meta.url), "utf8"),
) as readonly Case[];

const M = 40;
const OPTIONS: ContrastOptions = { sort: "jensen_shannon", limit: M, permutations: 0, seed: 0 };

function codesOf(rows: readonly (readonly number[])[]): FeatureCodes {
  const active = rows.map((row) => [...row.entries()].filter(([, value]) => value !== 0));
  return {
    count: rows.length,
    indptr: Uint32Array.from([0, ...active.map((_, i) => active.slice(0, i + 1).flat().length)]),
    indices: Uint32Array.from(active.flat(), ([index]) => index),
    values: Float32Array.from(active.flat(), ([, value]) => value),
  };
}

/** As the fixture holds figures. */
const rounded = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value), (_, one: unknown) => (typeof one === "number" ? Number(one.toPrecision(9)) : one));

describe.each(cases)("$name", ({ a, b, permutations, seed, overlap, chance, features }) => {
  const found = contrast(codesOf(a), codesOf(b), M, { ...OPTIONS, permutations, seed });

  it("has the figures of every active feature", () => {
    const byIndex = found.features.toSorted((one, other) => one.index - other.index);
    expect(rounded(byIndex)).toEqual(rounded(features));
  });

  it("has the overlap and what chance gives", () => {
    expect(found.overlap).toBeCloseTo(overlap, 10);
    expect(rounded(found.chance)).toEqual(rounded(chance));
  });

  it("lists the best first", () => {
    const distances = found.features.map(({ jensenShannon }) => jensenShannon);
    expect(distances).toEqual(distances.toSorted((one, other) => other - one));
    const few = contrast(codesOf(a), codesOf(b), M, { ...OPTIONS, sort: "average_precision", limit: 3 });
    const best = found.features.map(({ averagePrecision }) => averagePrecision).toSorted((one, other) => other - one);
    expect(few.features.map(({ averagePrecision }) => averagePrecision)).toEqual(best.slice(0, 3));
    expect(few).not.toHaveProperty("chance");
  });

  it("gives other divisions from another seed", () => {
    const other = contrast(codesOf(a), codesOf(b), M, { ...OPTIONS, permutations, seed: seed + 1 });
    expect(other.chance).not.toEqual(found.chance);
    expect(other.overlap).toBe(found.overlap);
  });
});

describe("a contrast", () => {
  it("of codes without an active feature has no overlap and no chance", () => {
    const none = codesOf([[0], [0]]);
    expect(contrast(none, none, 1, { ...OPTIONS, permutations: 5 })).toEqual({
      active: { a: 0, b: 0, both: 0, either: 0 },
      overlap: null,
      features: [],
    });
  });

  it("of a set with itself finds nothing", () => {
    const { a } = cases[0]!;
    const { overlap, features } = contrast(codesOf(a), codesOf(a), M, OPTIONS);
    expect(overlap).toBe(1);
    expect(features.every(({ jensenShannon, set }) => jensenShannon === 0 && set === "a")).toBe(true);
  });

  it("counts features in either set and in both", () => {
    const { active } = contrast(codesOf([[1, 0, 2]]), codesOf([[0, 1, 1]]), 3, OPTIONS);
    expect(active).toEqual({ a: 2, b: 2, both: 1, either: 3 });
  });

  it("takes steps by its rows and entries", () => {
    const [one, two] = [codesOf([[1, 0, 2]]), codesOf([[0, 1, 1]])];
    expect(divisionSteps(one, two)).toBeGreaterThan(divisionSteps(one, codesOf([[0, 1, 0]])));
  });
});
