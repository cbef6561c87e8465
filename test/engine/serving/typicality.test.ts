import { describe, expect, it } from "vitest";
import { referenceBudget, referenceRows, typicalityOf } from "../../../src/engine/serving/typicality.ts";
import { codesOf } from "../../support/codes.ts";

/** Rows of width 1, and codes with these errors and numbers of atoms. */
function figures(all: readonly (readonly [norm: number, error: number, atoms: number])[]) {
  const rows = { data: Float32Array.from(all, ([norm]) => norm), count: all.length, width: 1 };
  const entries = (atoms: number) => Array.from({ length: atoms }, (_, index) => [index, 1] as const);
  const codes = codesOf(
    all.map(([, error, atoms]) => ({ entries: entries(atoms), relativeError: error })),
    9,
  );
  return [rows, codes] as const;
}

describe("typicality", () => {
  const reference = referenceRows(
    ...figures([
      [-4, 0.4, 1],
      [1, 0.1, 2],
      [3, 0.3, 2],
      [2, 0.2, 5],
    ]),
  );

  it("is the share of reference rows below, those that are equal by half", () => {
    const { relativeErrors, norms, atoms } = typicalityOf(
      ...figures([
        [0.5, 0.05, 0],
        [2.5, 0.25, 2],
        [3, 0.4, 5],
        [-9, 0.9, 6],
      ]),
      reference,
    );
    expect([...relativeErrors]).toEqual([0, 0.5, 0.875, 1]);
    expect([...norms]).toEqual([0, 0.5, 0.625, 1]);
    expect([...atoms]).toEqual([0, 0.5, 0.875, 1]);
  });

  it("takes figures that differ by rounding for equal", () => {
    const unit = referenceRows(...figures([1, 1 + 1e-7, 1 - 1e-7].map((norm) => [norm, 0, 1] as const)));
    expect([...typicalityOf(...figures([[1 + 3e-7, 0, 1]]), unit).norms]).toEqual([0.5]);
  });
});

describe("the budget of reference rows", () => {
  it("is the request's, or the one that all rows share", () => {
    expect(referenceBudget(null)).toBeNull();
    expect(referenceBudget({ maxAtoms: 3 })).toEqual({ maxAtoms: 3 });
    expect(referenceBudget([{ maxAtoms: 3 }, { maxAtoms: 3 }])).toEqual({ maxAtoms: 3 });
    expect(referenceBudget([null])).toBeNull();
  });

  it("does not exist where rows have different ones", () => {
    expect(() => referenceBudget([{ maxAtoms: 3 }, null])).toThrow(/all rows need one budget/);
  });
});
