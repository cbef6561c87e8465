import { describe, expect, it } from "vitest";
import type { DictionaryManifest } from "../../../src/engine/core/dictionary.ts";
import { budgetColumns } from "../../../src/engine/serving/check-encode.ts";
import { chooseEncoder, decoderBudgetRule, encodersOf } from "../../../src/engine/serving/choose-encoder.ts";
import { manifestOf } from "../../support/model-folder.ts";

const pursuit = manifestOf("small", { atoms: new Float32Array(12), d: 3, settings: { score: "signed" } });
const topk: DictionaryManifest = {
  ...pursuit,
  kind: "topk",
  encoder: { center: true, subtractCenter: true, inputNorm: "none", k: 7 } as DictionaryManifest["encoder"],
};
const { k: _, ...noK } = topk.encoder as { k: number } & DictionaryManifest["encoder"];
const jumprelu: DictionaryManifest = { ...topk, kind: "jumprelu", encoder: noK };
const orthogonal: DictionaryManifest = {
  ...pursuit,
  kind: "orthogonal_matching_pursuit",
  encoder: { ...pursuit.encoder, score: "relu", rawScores: true } as DictionaryManifest["encoder"],
};

describe("chooseEncoder", () => {
  it("is the dictionary's own where the request names none", () => {
    for (const manifest of [pursuit, topk, jumprelu, orthogonal])
      expect(chooseEncoder(manifest, undefined)).toEqual({ overDecoder: false });
  });

  it("runs matching pursuit over the decoder of every kind, score relu and reselect add unless given", () => {
    for (const manifest of [pursuit, topk, jumprelu, orthogonal]) {
      expect(chooseEncoder(manifest, { kind: "matching_pursuit" })).toEqual({
        pursuit: { kind: "matching_pursuit", score: "relu", reselect: "add" },
        overDecoder: true,
      });
      const given = { kind: "matching_pursuit", score: "absolute", reselect: "forbid" } as const;
      expect(chooseEncoder(manifest, given).pursuit).toEqual(given);
    }
  });

  it("runs orthogonal pursuit over the decoder of one-pass kinds, in the session of a pursuit's by its own score", () => {
    expect(chooseEncoder(topk, { kind: "orthogonal" })).toEqual({
      pursuit: { kind: "orthogonal", score: "relu" },
      overDecoder: true,
    });
    expect(chooseEncoder(pursuit, { kind: "orthogonal" })).toEqual({
      pursuit: { kind: "orthogonal", score: "absolute" },
      overDecoder: false,
    });
    expect(chooseEncoder(orthogonal, { kind: "orthogonal" }).pursuit?.score).toBe("relu");
    expect(chooseEncoder(orthogonal, { kind: "orthogonal", score: "absolute" }).pursuit?.score).toBe("absolute");
  });

  it("refuses a transcoder, and says why and what to do", () => {
    const transcoder = { ...topk, role: "transcoder" } as const;
    for (const kind of ["matching_pursuit", "orthogonal"] as const) {
      expect(() => chooseEncoder(transcoder, { kind })).toThrow(
        expect.objectContaining({
          code: "PURSUIT_ENCODER_UNAVAILABLE",
          message: expect.stringMatching(/small is a transcoder.*another activation.*Leave encoder out/),
        }),
      );
    }
    expect(encodersOf(transcoder)).toEqual(["own"]);
    expect(encodersOf(topk)).toEqual(["own", "matching_pursuit", "orthogonal"]);
  });
});

describe("decoderBudgetRule", () => {
  const atomsOf = (manifest: DictionaryManifest, budget: object | null = null): number =>
    budgetColumns(budget, 1, decoderBudgetRule(manifest, 64)).maxAtoms[0]!;

  it("falls back on default_budget, then on k, within the server's cap", () => {
    expect(atomsOf({ ...topk, defaultBudget: { maxAtoms: 3 } })).toBe(3);
    expect(atomsOf(topk)).toBe(7);
    expect(atomsOf({ ...pursuit, encoder: { ...pursuit.encoder, maxAtoms: 9 } as DictionaryManifest["encoder"] })).toBe(
      9,
    );
    expect(atomsOf({ ...topk, defaultBudget: { maxAtoms: 1000 } })).toBe(64);
  });

  it("is the server's cap for an empty budget", () => {
    expect(atomsOf(topk, {})).toBe(64);
    expect(atomsOf(jumprelu, { tolerance: 0.1 })).toBe(64);
  });

  it("asks for a budget, by row, where the dictionary has neither", () => {
    const rule = decoderBudgetRule(jumprelu, 64);
    const missing = (where: string) =>
      expect.objectContaining({
        code: "PURSUIT_BUDGET_OUT_OF_RANGE",
        message: expect.stringMatching(new RegExp(`^${where} is missing: .*neither a default_budget nor a k`)),
      });
    expect(() => budgetColumns(null, 2, rule)).toThrow(missing("budget"));
    expect(() => budgetColumns([{ maxAtoms: 2 }, null], 2, rule)).toThrow(missing("budget\\[1\\]"));
    expect(() => budgetColumns({ maxAtoms: 65 }, 1, rule)).toThrow(/integer from 0 to 64/);
  });
});
