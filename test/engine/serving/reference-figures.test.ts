import { describe, expect, it } from "vitest";
import type { DictionaryManifest } from "../../../src/engine/core/dictionary.ts";
import type { StopReason } from "../../../src/engine/core/sparse-codes.ts";
import { warningOf } from "../../../src/engine/serving/reference-figures.ts";
import { codesOf } from "../../support/codes.ts";
import { manifestOf } from "../../support/model-folder.ts";

const FIGURES = [
  { max_atoms: 1, atoms: 1, explained_variance: 0.4 },
  { max_atoms: 2, atoms: 2, explained_variance: 0.6 },
  { max_atoms: 4, atoms: 3.9, explained_variance: 0.9 },
  { rows: 1000 },
];

const manifest = (held_out: unknown = FIGURES, more: Partial<DictionaryManifest> = {}): DictionaryManifest => ({
  ...manifestOf("a", { atoms: new Float32Array(16), d: 2 }),
  ...more,
  provenance: { held_out },
});

/** Codes whose rows have so many atoms, relative errors and stop reasons. */
const codes = (...rows: readonly (readonly [atoms: number, relativeError: number, stop?: StopReason])[]) =>
  codesOf(
    rows.map(([atoms, relativeError, stop = "max_atoms"]) => ({
      entries: Array.from({ length: atoms }, (_, j) => [j, 1] as const),
      relativeError,
      stop,
    })),
    8,
  );

/** The relative error of a row of which such a share is explained. */
const leaving = (explained: number): number => Math.sqrt(1 - explained);

describe("warningOf", () => {
  it.each([
    ["half of what held-out rows are explained to, or more", codes([2, leaving(0.31)])],
    ["figures of more atoms only", codes([0, 1])],
    ["a mean that is good enough", codes([2, leaving(0.05)], [2, leaving(0.7)])],
    ["rows that their request ended", codes([2, 0.99, "tolerance"], [2, 0.99, "min_gain"], [2, 0.99, "degraded"])],
    ["no rows", codes()],
  ])("says nothing of %s", (_what, answered) => {
    expect(warningOf(answered, manifest())).toBeUndefined();
  });

  it("warns of rows that are explained less than half as well by as many atoms", () => {
    expect(warningOf(codes([2, leaving(0.29)]), manifest())).toMatch(/less than half as well.*model, layer and scale/);
    // By the figure of 1 atom it would do; 1.5 atoms on average are not compared with that of 2.
    expect(warningOf(codes([1, leaving(0.25)], [2, leaving(0.25)]), manifest())).toBeUndefined();
    expect(warningOf(codes([2, leaving(0.9), "tolerance"], [2, leaving(0.1), "no_gain"]), manifest())).toBeDefined();
  });

  it.each([
    ["none", null],
    ["text", "0.73 at 8 atoms"],
    [
      "entries of another form",
      [null, 3, { atoms: "2", explained_variance: 0.9 }, { atoms: 2 }, { atoms: 2, explained_variance: 90 }],
    ],
  ])("compares nothing where held_out is %s", (_what, heldOut) => {
    expect(warningOf(codes([2, 1]), manifest(heldOut))).toBeUndefined();
  });

  it("compares nothing where there are nested widths, or no residuals", () => {
    expect(warningOf(codes([2, 1]), manifest(FIGURES, { groups: [4, 8] }))).toBeUndefined();
    const { relativeErrors: _left, ...unmeasured } = codes([2, 1]);
    expect(warningOf(unmeasured, manifest())).toBeUndefined();
  });
});
