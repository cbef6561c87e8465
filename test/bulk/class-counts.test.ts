/** Separation of classes against scipy's and scikit-learn's figures (tools/fixtures/make_contrast.py). */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ClassCounts } from "../../src/bulk/class-counts.ts";
import { FeatureTally } from "../../src/bulk/feature-tally.ts";
import { codesOf } from "../support/codes.ts";

interface Case {
  readonly name: string;
  /** [rows, m] */
  readonly values: readonly (readonly number[])[];
  readonly classes: readonly number[];
  readonly features: readonly {
    readonly index: number;
    readonly classes: readonly {
      readonly class: number;
      readonly distance: number;
      readonly averagePrecision: number;
    }[];
  }[];
}
const cases = JSON.parse(
  readFileSync(new URL("../fixtures/class-separation.json", import.meta.url), "utf8"),
) as readonly Case[];

describe.each(cases)("classes of $name codes", ({ values, classes, features }) => {
  const m = values[0]!.length;
  const codes = codesOf(
    values.map((row) => ({
      entries: [...row.entries()].filter(([, value]) => value !== 0),
      relativeError: 0,
    })),
    m,
  );
  const tally = new FeatureTally(m, 1);
  tally.add(codes, 0);
  const counts = new ClassCounts(m, 3);
  counts.add(tally, codes, Uint32Array.from(classes));

  it("are told apart by each feature as scipy and scikit-learn say", () => {
    for (const { index, classes: expected } of features) {
      const found = counts.separations(index, 3).toSorted((one, other) => one.class - other.class);
      expect(found.map((one) => one.class)).toEqual([0, 1, 2]);
      for (const [c, { distance, averagePrecision }] of found.entries()) {
        expect([index, c, distance]).toEqual([index, c, expect.closeTo(expected[c]!.distance, 7)]);
        expect([index, c, averagePrecision]).toEqual([index, c, expect.closeTo(expected[c]!.averagePrecision, 10)]);
      }
    }
  });

  it("come with the largest distance first, and no more than are asked for", () => {
    const distances = counts.separations(0, 3).map(({ distance }) => distance);
    expect(distances).toEqual(distances.toSorted((one, other) => other - one));
    expect(counts.separations(0, 2).map(({ distance }) => distance)).toEqual(distances.slice(0, 2));
  });
});
