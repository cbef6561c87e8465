/** What both forms of orthogonal pursuit owe: the oracle's selections and coefficients, whatever the settings and budgets. */
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import type { Budget } from "../../src/engine/core/budget.ts";
import {
  INPUT_NORMS,
  ORTHOGONAL_SCORES,
  orthogonalScore,
  type OrthogonalSettings,
} from "../../src/engine/core/dictionary.ts";
import type { OrthogonalWeights, PursuitWeights } from "../../src/engine/core/dictionary-weights.ts";
import type { EncoderSession } from "../../src/engine/runtime/process/encoder-session.ts";
import { createEncoderSession } from "../../src/engine/runtime/sessions/create-session.ts";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
import { compare, pursuitOf } from "../support/agreement.ts";
import { batchOf } from "../support/batch.ts";
import { FULL } from "../support/full.ts";
import { pursuitSpace } from "../support/oracle.ts";
import { type OrthogonalOracle, orthogonalOracle } from "../support/orthogonal-oracle.ts";
import { normals, random, randomAtoms } from "../support/seeded.ts";

const SETTINGS: OrthogonalSettings = {
  score: "absolute",
  rawScores: false,
  center: false,
  residualThreshold: 0,
  maxAtoms: null,
  inputNorm: "none",
};

function weightsOf(
  atoms: Float32Array,
  d: number,
  settings: Partial<OrthogonalSettings> = {},
  center: Float32Array | null = null,
): OrthogonalWeights {
  return {
    kind: "orthogonal_matching_pursuit",
    d,
    m: atoms.length / d,
    atoms,
    center,
    settings: { ...SETTINGS, ...settings, center: center !== null },
  };
}

/** Final coefficients of row i against the oracle's, where every step was decided. */
function checkCoefficients(codes: SparseCodes, i: number, oracle: OrthogonalOracle): void {
  const largest = oracle.coefficients.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const found = new Map<number, number>();
  for (let k = codes.indptr[i]!; k < codes.indptr[i + 1]!; k++) found.set(codes.indices[k]!, codes.values[k]!);
  for (const [k, j] of oracle.indices.entries()) {
    expect(Math.abs((found.get(j) ?? 0) - oracle.coefficients[k]!)).toBeLessThanOrEqual(1e-5 * largest);
    found.delete(j);
  }
  expect([...found.keys()]).toEqual([]);
}

describe.each(["fused", "fused_residual"] as const)("orthogonal pursuit, %s path", (path) => {
  const open: EncoderSession[] = [];
  const session = async (weights: OrthogonalWeights): Promise<EncoderSession> => {
    const created = await createEncoderSession(weights, { runtime: "cpu", path, threads: 1 });
    open.push(created);
    return created;
  };
  afterAll(() => Promise.all(open.map((one) => one.release())));

  async function agree(weights: OrthogonalWeights, rows: Float32Array, budget: Budget | readonly Budget[]) {
    const { d } = weights;
    const codes = await (await session(weights)).encode(batchOf(rows, d, budget));
    const tally = { agreed: 0, undecided: 0 };
    for (let i = 0; i < codes.count; i++) {
      const own = Array.isArray(budget) ? (budget[i] as Budget) : (budget as Budget);
      const x = pursuitSpace(rows.subarray(i * d, (i + 1) * d), weights.settings.inputNorm);
      const oracle = orthogonalOracle(x, weights, { maxAtoms: 4096, ...own });
      const verdict = compare(pursuitOf(codes, i), oracle, oracle);
      if (verdict.kind === "differs") throw new Error(`row ${i}: ${verdict.why}`);
      if (verdict.kind === "agreed") checkCoefficients(codes, i, oracle);
      tally[verdict.kind]++;
    }
    return { ...tally, codes };
  }

  it.each(ORTHOGONAL_SCORES)("selects and solves as the oracle does, score %s", async (score) => {
    const d = 24;
    const { agreed } = await agree(weightsOf(randomAtoms(96, d, 1), d, { score }), normals(d * 40, 2), {
      maxAtoms: 16,
    });
    expect(agreed).toBeGreaterThan(30);
  });

  it("divides scores by the atoms' norms, unless they are raw", async () => {
    const d = 2;
    // The long atom has the larger product with the row, the short one the larger cosine.
    const atoms = Float32Array.of(4, 0, 0.5, 0.5);
    const rows = Float32Array.of(1, 0.9);
    const first = async (rawScores: boolean): Promise<number | undefined> => {
      const codes = await (await session(weightsOf(atoms, d, { rawScores }))).encode(batchOf(rows, d, { maxAtoms: 1 }));
      return pursuitOf(codes, 0).indices[0];
    };
    expect([await first(false), await first(true)]).toEqual([1, 0]);
  });

  it("gives every row its own budget and its own end", async () => {
    const d = 32;
    const budgets: Budget[] = [
      { maxAtoms: 0 },
      { maxAtoms: 1 },
      { maxAtoms: 17 },
      { maxAtoms: 30, tolerance: 0.5 },
      { maxAtoms: 30, tolerance: 2 },
      { maxAtoms: 30, residualNorm: 3 },
      { maxAtoms: 30, minGain: 0.05 },
    ];
    const { agreed, codes } = await agree(
      weightsOf(randomAtoms(128, d, 4), d),
      normals(d * budgets.length, 3),
      budgets,
    );
    expect(agreed).toBe(budgets.length);
    expect(budgets.map((_, i) => pursuitOf(codes, i).stop)).toEqual([
      "max_atoms",
      "max_atoms",
      "max_atoms",
      "tolerance",
      "tolerance",
      "residual_norm",
      "min_gain",
    ]);
  });

  it("undoes the step that gains too little", async () => {
    const d = 3;
    const atoms = Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1);
    // Energies 9, 4 and 1 of 14.
    const codes = await (
      await session(weightsOf(atoms, d))
    ).encode(batchOf(Float32Array.of(3, 2, 1), d, { maxAtoms: 3, minGain: 0.2 }));
    expect([...codes.indices]).toEqual([0, 1]);
    expect([...codes.values]).toEqual([3, 2]);
    expect(codes.residualNorms![0]).toBe(1);
  });

  it("stops before an atom that the others already span", async () => {
    const d = 3;
    // Atom 2 lies in the plane of 0 and 1 but for 3e-4, a pivot² of 9e-8; the row asks for just that direction.
    const atoms = Float32Array.of(1, 0, 0, 0, 1, 0, 0.6, 0.8, 3e-4);
    const { codes } = await agree(weightsOf(atoms, d), Float32Array.of(5, 1, 100), { maxAtoms: 3 });
    expect(pursuitOf(codes, 0)).toMatchObject({ stop: "dependent", indices: [0, 1] });
  });

  it("lets an atom go to zero when the non-negative solution wants no more of it, and ends without negatives", async () => {
    const d = 2;
    // The row lies between atoms 1 and 2, and atom 0, selected first, is then not wanted.
    const atoms = Float32Array.of(0.8, 0.6, 1, 0, 0, 1);
    const rows = Float32Array.of(1, 0.9);
    const codes = await (
      await session(weightsOf(atoms, d, { score: "relu" }))
    ).encode(batchOf(rows, d, { maxAtoms: 3 }));
    expect(codes.values.every((value) => value > 0)).toBe(true);
    expect(codes.residualNorms![0]).toBeLessThan(1e-6);
  });

  it("solves non-negatively at every depth", async () => {
    const d = 24;
    const { normal } = random(31);
    // Atoms that lie close together, so that coefficients do turn negative.
    const atoms = Float32Array.from({ length: 60 * d }, (_, at) => normal() + (at % d < 4 ? 2 : 0));
    const rows = Float32Array.from({ length: 30 * d }, (_, at) => normal() + (at % d < 4 ? 3 : 0));
    const { agreed, undecided, codes } = await agree(weightsOf(atoms, d, { score: "relu" }), rows, { maxAtoms: 20 });
    expect(agreed).toBeGreaterThan(20);
    expect(agreed + undecided).toBe(30);
    const dropped = codes.steps.filter((steps, i) => codes.indptr[i + 1]! - codes.indptr[i]! < steps).length;
    expect(dropped, "rows with an atom at zero").toBeGreaterThan(5);
  });

  it("subtracts the centre, and takes one atom from a row under the residual threshold", async () => {
    const d = 16;
    const center = normals(d, 5);
    const rows = normals(d * 20, 7);
    for (let i = 0; i < d; i++) rows[i] = center[i]! + rows[i]! * 1e-3;
    const weights = weightsOf(randomAtoms(32, d, 6), d, { residualThreshold: 1.5 }, center);
    const { agreed, codes } = await agree(weights, rows, { maxAtoms: 12 });
    expect(agreed).toBeGreaterThan(15);
    expect(pursuitOf(codes, 0)).toMatchObject({ stop: "residual_norm" });
    expect(codes.steps[0]).toBe(1);
  });

  it("ends a zero row, an exactly explained row and a row that no atom helps", async () => {
    const d = 4;
    const atoms = Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0);
    const rows = Float32Array.of(0, 0, 0, 0, 3, 5, 0, 0, -1, -1, 0, 0);
    const codes = await (
      await session(weightsOf(atoms, d, { score: "relu" }))
    ).encode(batchOf(rows, d, { maxAtoms: 9 }));
    expect([0, 1, 2].map((i) => pursuitOf(codes, i))).toEqual([
      { indices: [], values: [], norms: [], stop: "no_gain", residualNorm: 0 },
      { indices: [1, 0], values: [5, 3], norms: [3, 0], stop: "no_gain", residualNorm: 0 },
      { indices: [], values: [], norms: [], stop: "no_gain", residualNorm: Math.fround(Math.SQRT2) },
    ]);
  });

  it("takes the lowest of exactly tied atoms", async () => {
    const d = 8;
    const atoms = new Float32Array(6 * d);
    for (const [j, axis] of [3, 2, 2, 3, 1, 1].entries()) atoms[j * d + axis] = 1;
    const rows = Float32Array.of(0, 1, 4, 4, 0, 0, 0, 0);
    const codes = await (await session(weightsOf(atoms, d))).encode(batchOf(rows, d, { maxAtoms: 3 }));
    expect(pursuitOf(codes, 0).indices).toEqual([0, 1, 4]);
  });

  it("keeps norms from 1e-20 to 1e19 apart from overflow and underflow", async () => {
    const d = 16;
    const rows = normals(d * 40, 8);
    for (let i = 0; i < 40; i++) for (let k = 0; k < d; k++) rows[i * d + k]! *= 10 ** (i - 20);
    const { agreed } = await agree(weightsOf(randomAtoms(64, d, 9), d), rows, { maxAtoms: 10, tolerance: 0.05 });
    expect(agreed).toBeGreaterThan(30);
  });

  it("follows a deep pursuit of planted atoms", async () => {
    const d = 96;
    const m = 256;
    const atoms = randomAtoms(m, d, 12);
    const { integer, next } = random(13);
    const rows = new Float32Array(d * 3);
    for (let i = 0; i < 3; i++) {
      for (let k = 0; k < 30; k++) {
        const [j, value] = [integer(m), 0.2 + next()];
        for (let c = 0; c < d; c++) rows[i * d + c]! += value * atoms[j * d + c]!;
      }
    }
    const { agreed, undecided, codes } = await agree(weightsOf(atoms, d), rows, { maxAtoms: 60 });
    expect(agreed + undecided).toBe(3);
    expect(codes.relativeErrors!.every((error) => error < 1e-3)).toBe(true);
  });

  it("is never longer than its row is wide, and then explains it", async () => {
    const d = 40;
    const one = await session(weightsOf(randomAtoms(300, d, 16), d));
    const codes = await one.encode(batchOf(normals(d * 8, 17), d, { maxAtoms: 300 }));
    expect(codes.steps.every((steps) => steps <= d)).toBe(true);
    expect(codes.relativeErrors!.every((error) => error < 1e-5)).toBe(true);
  });

  it("codes a row the same in every batch, alone or among others", async () => {
    const d = 64;
    const one = await session(weightsOf(randomAtoms(256, d, 14), d));
    const rows = normals(d * 13, 15);
    const budget = { maxAtoms: 40 };
    const whole = await one.encode(batchOf(rows, d, budget));
    for (const size of [1, 2, 5]) {
      for (let from = 0; from + size <= 13; from += size) {
        const part = await one.encode(batchOf(rows.slice(from * d, (from + size) * d), d, budget));
        for (let i = 0; i < size; i++) {
          expect(pursuitOf(part, i).indices).toEqual(pursuitOf(whole, from + i).indices);
          expect(pursuitOf(part, i).values).toEqual(pursuitOf(whole, from + i).values);
        }
      }
    }
  });

  it("selects what the oracle selects, whatever the shapes, settings and budgets", async () => {
    const off = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 1 });
    const cases = fc.record({
      d: fc.integer({ min: 1, max: 24 }),
      m: fc.integer({ min: 1, max: 60 }),
      seed: fc.integer({ min: 0, max: 1e6 }),
      withCenter: fc.boolean(),
      settings: fc.record({
        score: fc.constantFrom(...ORTHOGONAL_SCORES),
        rawScores: fc.boolean(),
        residualThreshold: fc.oneof(fc.constant(0), fc.double({ min: 0.1, max: 2, noNaN: true })),
        inputNorm: fc.constantFrom(...INPUT_NORMS),
      }),
      budgets: fc.array(
        fc
          .record({
            maxAtoms: fc.integer({ min: 0, max: 24 }),
            tolerance: off(fc.double({ min: 0.02, max: 1.1, noNaN: true })),
            residualNorm: off(fc.double({ min: 0.05, max: 4, noNaN: true })),
            minGain: off(fc.double({ min: 1e-3, max: 0.2, noNaN: true })),
          })
          .map(({ maxAtoms, ...limits }) => ({
            maxAtoms,
            ...Object.fromEntries(Object.entries(limits).filter(([, limit]) => limit !== undefined)),
          })),
        { minLength: 1, maxLength: 5 },
      ),
    });
    const tally = { agreed: 0, undecided: 0 };
    await fc.assert(
      fc.asyncProperty(cases, async ({ d, m, seed, withCenter, settings, budgets }) => {
        const atoms = randomAtoms(m, d, seed);
        const { next } = random(seed + 1);
        for (let j = 0; j < m; j++) {
          const norm = 0.3 + 1.5 * next();
          for (let c = 0; c < d; c++) atoms[j * d + c]! *= norm;
        }
        const weights = weightsOf(atoms, d, settings, withCenter ? normals(d, seed + 2) : null);
        const rows = normals(budgets.length * d, seed + 3);
        // A row of one number has no deviation: the engine norms it to zero, n − 1 makes the oracle divide by it.
        if (d === 1 && settings.inputNorm === "layer_norm") return;
        const { agreed, undecided } = await agree(weights, rows, budgets);
        tally.agreed += agreed;
        tally.undecided += undecided;
        await open.pop()!.release();
      }),
      { seed: 20_261, numRuns: FULL ? 60 : 20 },
    );
    console.log(`orthogonal pursuit, ${path} path, oracle: ${tally.agreed} agreed, ${tally.undecided} undecided`);
    expect(tally.agreed).toBeGreaterThan(3 * tally.undecided);
  });
});

describe("a plain dictionary encoded orthogonally", () => {
  it.each([
    ["relu", "fused"],
    ["signed", "fused"],
    ["absolute", "fused"],
    ["relu", "gram"],
    ["signed", "residual"],
  ] as const)("keeps the sign that score %s asks for, on the %s path", async (score, path) => {
    const d = 16;
    const atoms = randomAtoms(64, d, 40);
    const { rawScores: _, ...settings } = SETTINGS;
    const pursuit: PursuitWeights = {
      kind: "matching_pursuit",
      d,
      m: 64,
      atoms,
      center: null,
      settings: { ...settings, score, reselect: "add" },
    };
    const plain = await createEncoderSession(pursuit, { runtime: "cpu", path, threads: 1 });
    const own = await createEncoderSession(weightsOf(atoms, d, { score: score === "relu" ? "relu" : "absolute" }), {
      runtime: "cpu",
      path,
      threads: 1,
    });
    const batch = batchOf(normals(d * 6, 41), d, { maxAtoms: 8 });
    expect(await plain.encode({ ...batch, pursuit: { kind: "orthogonal", score: orthogonalScore(score) } })).toEqual(
      await own.encode(batch),
    );
    expect((await plain.encode(batch)).trace).not.toEqual((await own.encode(batch)).trace);
    await plain.release();
    await own.release();
  });
});
