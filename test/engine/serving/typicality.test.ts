import { describe, expect, it } from "vitest";
import { newMeta } from "../../../src/engine/dictionaries/features-file.ts";
import type { EncodeAnswer, EncodeRequest } from "../../../src/engine/engine.ts";
import { referenceBudget, referenceRows, References, typicalityOf } from "../../../src/engine/serving/typicality.ts";
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

const HELD = [
  [-4, 0.4, 1],
  [1, 0.1, 2],
  [3, 0.3, 2],
  [2, 0.2, 5],
] as const;

describe("typicality", () => {
  const reference = { rows: referenceRows(...figures(HELD), null), surprise: null };

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
    expect([...norms!]).toEqual([0, 0.5, 0.625, 1]);
    expect([...atoms]).toEqual([0, 0.5, 0.875, 1]);
  });

  it("takes figures that differ by rounding for equal", () => {
    const unit = referenceRows(...figures([1, 1 + 1e-7, 1 - 1e-7].map((norm) => [norm, 0, 1] as const)), null);
    const { norms } = typicalityOf(...figures([[1 + 3e-7, 0, 1]]), { rows: unit, surprise: null });
    expect([...norms!]).toEqual([0.5]);
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

describe("reference rows", () => {
  const M = 9;
  const hundredths = Array.from({ length: 101 }, (_, step) => step / 100);
  const typical = {
    atoms: hundredths.map(() => 2),
    relativeError: hundredths,
    surprise: hundredths.map((q) => q * 10),
  };
  const figuresWith = (more: object) => ({ meanAtoms: 2, explainedVariance: 0.5, typical: { ...typical, ...more } });
  const meta = newMeta({
    sha256: "",
    m: M,
    rows: 1000,
    budget: { max_atoms: 2 },
    encoder: "own",
    figures: figuresWith({ norm: hundredths }),
  });

  /** A dictionary and the requests in which its examples were encoded. */
  function dictionary(known: typeof meta | null, examples: readonly (readonly [number, number, number])[] | null) {
    const asked: EncodeRequest[] = [];
    const held = examples && figures(examples);
    const referred = {
      id: "d",
      examples: () => Promise.resolve(held && { rows: held[0].data }),
      serving: () => ({
        manifest: { dIn: 1, m: M, defaultBudget: { maxAtoms: 2 } },
        features: {
          meta: known,
          rate: (index: number) => (known === null || index === 0 ? undefined : 1 / 2 ** index),
        },
      }),
    };
    const encode = (request: EncodeRequest): Promise<EncodeAnswer> => {
      asked.push(request);
      return Promise.resolve({ codes: held![1], totalVariance: null, sha256: "" });
    };
    const of = (request: Partial<EncodeRequest>) =>
      new References().of(
        referred,
        { rows: held?.[0] ?? figures([[1, 0, 1]])[0], budget: null, trace: false, reconstruction: false, ...request },
        encode,
      );
    return { of, asked };
  }

  it("are those of the statistics where they were encoded as the request asks", async () => {
    const { of, asked } = dictionary(meta, HELD);
    for (const budget of [null, { maxAtoms: 2 }, [{ maxAtoms: 2 }]]) {
      const { relativeErrors, norms, atoms, surprises } = typicalityOf(
        ...figures([[0.25, 0.123, 2]]),
        await of({ budget }),
      );
      expect(relativeErrors[0]).toBeCloseTo(0.123, 2);
      expect(norms![0]).toBeCloseTo(0.25, 2);
      expect(atoms[0]).toBe(0.5);
      // Atom 0 has no rate: half a row of 1000. Atom 1 has a half.
      expect(surprises![0]).toBeCloseTo((Math.log(2000) + Math.log(2)) / 20, 2);
    }
    expect(asked).toEqual([]);
  });

  it("are the examples under another budget or encoder, with the rates of the statistics", async () => {
    for (const other of [{ budget: { maxAtoms: 3 } }, { budget: {} }, { encoder: { kind: "orthogonal" } as never }]) {
      const { of, asked } = dictionary(meta, HELD);
      const reference = await of(other);
      expect(asked).toMatchObject([other]);
      expect([...reference.rows.relativeErrors]).toEqual([0.1, 0.2, 0.3, 0.4].map(Math.fround));
      expect(reference.rows.surprises).toHaveLength(4);
    }
  });

  it("have the norms of the examples where the statistics have none", async () => {
    const old = { ...meta, figures: figuresWith({}) };
    expect([...(await dictionary(old, HELD).of({})).rows.norms!]).toEqual([1, 2, 3, 4]);
    expect((await dictionary(old, null).of({})).rows).not.toHaveProperty("norms");
  });

  it("are missing without either", async () => {
    await expect(dictionary(null, null).of({})).rejects.toThrow(/dictionary d has no examples .* and no statistics/);
    await expect(dictionary(meta, null).of({ budget: { maxAtoms: 5 } })).rejects.toThrow(
      /budget {"max_atoms":2} and encoder "own"/,
    );
    expect((await dictionary(null, HELD).of({})).rows).not.toHaveProperty("surprises");
  });
});
