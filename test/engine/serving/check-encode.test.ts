import { describe, expect, it } from "vitest";
import type { Budget } from "../../../src/engine/core/budget.ts";
import type { DictionaryManifest } from "../../../src/engine/core/dictionary.ts";
import { budgetColumns, budgetRule } from "../../../src/engine/serving/check-encode.ts";
import { manifestOf } from "../../support/model-folder.ts";

const PURSUIT = { cap: 64, unset: 64, groups: [], fallback: { maxAtoms: 16, tolerance: 0.5 } };
const ONE_PASS = { cap: 64, unset: 512, groups: [128, 512], fallback: {} };

describe("budgetColumns", () => {
  it("sets no cap on a one-pass row whose budget does not, and takes every limit", () => {
    const columns = budgetColumns([{}, { maxAtoms: 40, tolerance: 0.1 }], 2, ONE_PASS);
    expect([...columns.maxAtoms]).toEqual([512, 40]);
    expect([...columns.tolerance]).toEqual([0, 0.1]);
  });

  it("fills defaults in, for one budget and for one per row", () => {
    expect(budgetColumns({}, 2, PURSUIT)).toEqual({
      maxAtoms: Int32Array.of(64, 64),
      tolerance: Float64Array.of(0, 0),
      residualNorm: Float64Array.of(0, 0),
      minGain: Float64Array.of(0, 0),
      group: new Int32Array(2),
    });
    const perRow = budgetColumns([{ maxAtoms: 0 }, { tolerance: 0.1, minGain: 0.01 }], 2, PURSUIT);
    expect([...perRow.maxAtoms]).toEqual([0, 64]);
    expect([...perRow.tolerance]).toEqual([0, 0.1]);
    expect([...perRow.minGain]).toEqual([0, 0.01]);
  });

  it("gives the fallback to rows without a budget, and nothing of it to others", () => {
    expect(budgetColumns(null, 2, PURSUIT)).toEqual({
      maxAtoms: Int32Array.of(16, 16),
      tolerance: Float64Array.of(0.5, 0.5),
      residualNorm: Float64Array.of(0, 0),
      minGain: Float64Array.of(0, 0),
      group: new Int32Array(2),
    });
    const perRow = budgetColumns([null, {}, { maxAtoms: 3 }, { tolerance: 0.1 }], 4, PURSUIT);
    expect([...perRow.maxAtoms]).toEqual([16, 64, 3, 64]);
    expect([...perRow.tolerance]).toEqual([0.5, 0, 0, 0.1]);
    expect([...budgetColumns(null, 1, ONE_PASS).maxAtoms]).toEqual([512]);
  });

  it.each([
    [{ maxAtoms: -1 }, "budget.max_atoms is -1; it must be an integer from 0 to 64."],
    [{ maxAtoms: 1.5 }, "budget.max_atoms is 1.5"],
    [{ maxAtoms: 65 }, "budget.max_atoms is 65"],
    [{ tolerance: -0.1 }, "budget.tolerance is -0.1; it must be a finite number, 0 or more."],
    [{ residualNorm: Number.NaN }, "budget.residual_norm is NaN"],
    [{ minGain: Infinity }, "budget.min_gain is Infinity"],
    [[{}, { maxAtoms: 99 }], "budget[1].max_atoms is 99"],
    [[{}], "budget holds 1 entries for 2 rows"],
  ])("refuses %j", (budget, message) => {
    expect(() => budgetColumns(budget, 2, PURSUIT)).toThrow(message);
  });
});

describe("groups", () => {
  it("holds the atoms that each row may use, 0 for all", () => {
    expect([...budgetColumns([{ group: 128 }, {}, null, { group: 512 }], 4, ONE_PASS).group]).toEqual([128, 0, 0, 512]);
    const rule = { ...ONE_PASS, fallback: { group: 128 } };
    expect([...budgetColumns([null, {}], 2, rule).group]).toEqual([128, 0]);
  });

  it("lists the groups that there are", () => {
    expect(() => budgetColumns([{}, { group: 64 }], 2, ONE_PASS)).toThrow(
      "budget[1].group is 64; this dictionary's groups are 128, 512.",
    );
    expect(() => budgetColumns({ group: 64 }, 2, PURSUIT)).toThrow(
      "budget.group is 64; this dictionary has no groups. Leave it out.",
    );
  });
});

describe("the budget of a row that has none", () => {
  const pursuit = (maxAtoms: number | null, defaultBudget?: Budget): DictionaryManifest => ({
    ...manifestOf("a", { atoms: new Float32Array(200), d: 2, settings: { maxAtoms } }),
    ...(defaultBudget && { defaultBudget }),
  });

  it("is the dictionary's default, else no limit but the cap", () => {
    expect(budgetRule(pursuit(null, { maxAtoms: 16, tolerance: 0.1 }), 4096)).toEqual({
      cap: 4096,
      unset: 4096,
      groups: [],
      fallback: { maxAtoms: 16, tolerance: 0.1 },
    });
    expect(budgetRule(pursuit(32), 4096)).toMatchObject({ cap: 32, fallback: {} });
    expect(budgetRule(pursuit(32, { tolerance: 0.1 }), 4096).fallback).toEqual({ tolerance: 0.1 });
  });

  it("never exceeds the server's cap", () => {
    expect(budgetRule(pursuit(null, { maxAtoms: 16 }), 8)).toMatchObject({ cap: 8, fallback: { maxAtoms: 8 } });
  });
});
