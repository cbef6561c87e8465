/** What every form of the pursuit graph owes: the oracle's pursuit, whatever the settings, budgets and companions. */
import { afterAll, describe, expect, it } from "vitest";
import type { Budget } from "../../src/engine/core/budget.ts";
import { PURSUIT_PATHS, type PursuitSettings, RESELECTS, SCORES } from "../../src/engine/core/dictionary.ts";
import type { PursuitWeights } from "../../src/engine/core/dictionary-weights.ts";
import { createEncoderSession } from "../../src/engine/runtime/sessions/create-session.ts";
import type { EncoderSession } from "../../src/engine/runtime/process/encoder-session.ts";
import { compare, pursuitOf } from "../support/agreement.ts";
import { batchOf } from "../support/batch.ts";
import { FULL } from "../support/full.ts";
import { oraclePursuit } from "../support/oracle.ts";
import { normals, random, randomAtoms } from "../support/seeded.ts";

const SETTINGS: PursuitSettings = {
  score: "relu",
  reselect: "add",
  center: false,
  residualThreshold: 0,
  maxAtoms: null,
  inputNorm: "none",
};

function weightsOf(
  atoms: Float32Array,
  d: number,
  settings: Partial<PursuitSettings> = {},
  center: Float32Array | null = null,
): PursuitWeights {
  return {
    kind: "matching_pursuit",
    d,
    m: atoms.length / d,
    atoms,
    center,
    settings: { ...SETTINGS, ...settings, center: center !== null },
  };
}

describe.each(PURSUIT_PATHS)("matching pursuit, %s path", (path) => {
  const open: EncoderSession[] = [];
  const session = async (weights: PursuitWeights, unroll?: number): Promise<EncoderSession> => {
    const created = await createEncoderSession(weights, {
      runtime: "cpu",
      path,
      threads: 1,
      ...(unroll && { unroll }),
    });
    open.push(created);
    return created;
  };
  afterAll(() => Promise.all(open.map((one) => one.release())));

  async function agree(
    weights: PursuitWeights,
    rows: Float32Array,
    budget: Budget | readonly Budget[],
  ): Promise<{ agreed: number; undecided: number }> {
    const codes = await (await session(weights)).encode(batchOf(rows, weights.d, budget));
    const tally = { agreed: 0, undecided: 0 };
    for (let i = 0; i < codes.count; i++) {
      const own = Array.isArray(budget) ? (budget[i] as Budget) : (budget as Budget);
      const oracle = oraclePursuit(rows.subarray(i * weights.d, (i + 1) * weights.d), weights, {
        maxAtoms: 4096,
        ...own,
      });
      const verdict = compare(pursuitOf(codes, i), oracle, oracle);
      if (verdict.kind === "differs") throw new Error(`row ${i}: ${verdict.why}`);
      tally[verdict.kind]++;
    }
    return tally;
  }

  describe.each(SCORES)("score %s", (score) => {
    it.each(RESELECTS)("reselect %s: selects what the oracle selects", async (reselect) => {
      const d = 24;
      const tally = await agree(weightsOf(randomAtoms(96, d, 1), d, { score, reselect }), normals(d * 40, 2), {
        maxAtoms: 20,
      });
      expect(tally.agreed).toBeGreaterThan(30);
    });
  });

  it("gives every row its own budget and its own end", async () => {
    const d = 32;
    const budgets: Budget[] = [
      { maxAtoms: 0 },
      { maxAtoms: 1 },
      { maxAtoms: 17 },
      { maxAtoms: 40, tolerance: 0.5 },
      { maxAtoms: 40, tolerance: 2 },
      { maxAtoms: 40, residualNorm: 3 },
      { maxAtoms: 40, minGain: 0.05 },
      { maxAtoms: 40, minGain: 0.01, tolerance: 0.3 },
    ];
    const rows = normals(d * budgets.length, 3);
    const weights = weightsOf(randomAtoms(128, d, 4), d);
    const tally = await agree(weights, rows, budgets);
    expect(tally.agreed).toBe(budgets.length);
    const codes = await open.at(-1)!.encode(batchOf(rows, d, budgets));
    expect(Array.from({ length: budgets.length }, (_, i) => pursuitOf(codes, i).stop)).toEqual([
      "max_atoms",
      "max_atoms",
      "max_atoms",
      "tolerance",
      "tolerance",
      "residual_norm",
      "min_gain",
      expect.stringMatching(/min_gain|tolerance/),
    ]);
  });

  it("subtracts the centre, and takes one atom from a row under the residual threshold", async () => {
    const d = 16;
    const center = normals(d, 5);
    const weights = weightsOf(randomAtoms(32, d, 6), d, { residualThreshold: 1.5, reselect: "stop" }, center);
    const rows = normals(d * 20, 7);
    for (let i = 0; i < d; i++) rows[i] = center[i]! + rows[i]! * 1e-3;
    const tally = await agree(weights, rows, { maxAtoms: 16 });
    expect(tally.agreed).toBeGreaterThan(15);
    const codes = await open.at(-1)!.encode(batchOf(rows, d, { maxAtoms: 16 }));
    expect(pursuitOf(codes, 0)).toMatchObject({ stop: "residual_norm" });
    expect(codes.steps[0]).toBe(1);
  });

  it("takes the lowest of exactly tied atoms", async () => {
    const d = 8;
    const atoms = new Float32Array(6 * d);
    for (const [j, axis] of [3, 2, 2, 3, 1, 1].entries()) atoms[j * d + axis] = 1;
    const rows = Float32Array.of(0, 1, 4, 4, 0, 0, 0, 0);
    const codes = await (await session(weightsOf(atoms, d))).encode(batchOf(rows, d, { maxAtoms: 3 }));
    expect(pursuitOf(codes, 0).indices).toEqual([0, 1, 4]);
  });

  it("ends a zero row, an exactly explained row and a row that no atom helps", async () => {
    const d = 4;
    const atoms = Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0);
    const rows = Float32Array.of(0, 0, 0, 0, 3, 5, 0, 0, -1, -1, 0, 0);
    const codes = await (await session(weightsOf(atoms, d))).encode(batchOf(rows, d, { maxAtoms: 9 }));
    expect([0, 1, 2].map((i) => pursuitOf(codes, i))).toEqual([
      { indices: [], values: [], norms: [], stop: "no_gain", residualNorm: 0 },
      { indices: [1, 0], values: [5, 3], norms: [3, 0], stop: "no_gain", residualNorm: 0 },
      { indices: [], values: [], norms: [], stop: "no_gain", residualNorm: Math.fround(Math.SQRT2) },
    ]);
    expect([...codes.relativeErrors!]).toEqual([0, 0, 1]);
  });

  it("keeps norms from 1e-20 to 1e19 apart from overflow and underflow", async () => {
    const d = 16;
    const rows = normals(d * 40, 8);
    for (let i = 0; i < 40; i++) for (let k = 0; k < d; k++) rows[i * d + k]! *= 10 ** (i - 20);
    const tally = await agree(weightsOf(randomAtoms(64, d, 9), d), rows, { maxAtoms: 12, tolerance: 0.05 });
    expect(tally.agreed).toBeGreaterThan(30);
  });

  it("ends a diverging pursuit at its last finite step", async () => {
    const d = 8;
    const codes = await (
      await session(weightsOf(randomAtoms(32, d, 10, 4), d))
    ).encode(batchOf(normals(d * 3, 11), d, { maxAtoms: 500 }));
    for (const column of [codes.values, codes.residualNorms, codes.trace!.values, codes.trace!.residualNorms]) {
      expect(column!.every(Number.isFinite)).toBe(true);
    }
    expect(codes.steps.every((steps) => steps > 3 && steps < 500)).toBe(true);
  });

  it("follows a deep pursuit of 400 planted atoms", async () => {
    const d = 512;
    const m = 2048;
    const atoms = randomAtoms(m, d, 12);
    const { integer, next } = random(13);
    const count = FULL ? 4 : 1;
    const rows = new Float32Array(d * count);
    for (let i = 0; i < count; i++) {
      for (let k = 0; k < 400; k++) {
        const [j, value] = [integer(m), 0.2 + next()];
        for (let c = 0; c < d; c++) rows[i * d + c]! += value * atoms[j * d + c]!;
      }
    }
    const tally = await agree(weightsOf(atoms, d), rows, { maxAtoms: 400 });
    expect(tally.agreed + tally.undecided).toBe(count);
  });

  it("codes a row the same in every batch, alone or among others, and at every unrolling", async () => {
    const d = 64;
    const weights = weightsOf(randomAtoms(256, d, 14), d, { reselect: "stop" });
    const rows = normals(d * 37, 15);
    for (let k = 0; k < d; k++) rows[k] = atomsSum(weights, k);
    const budget = { maxAtoms: 150 };
    const whole = await (await session(weights, 4)).encode(batchOf(rows, d, budget));
    for (const unroll of [1, 3, 8]) {
      expect(await (await session(weights, unroll)).encode(batchOf(rows, d, budget))).toEqual(whole);
    }
    const one = open.at(-1)!;
    for (const size of [1, 2, 3, 5, 16]) {
      for (let from = 0; from + size <= 37; from += size) {
        const part = await one.encode(batchOf(rows.slice(from * d, (from + size) * d), d, budget));
        for (let i = 0; i < size; i++) expect(pursuitOf(part, i)).toEqual(pursuitOf(whole, from + i));
      }
    }
  });
});

/** Column k of the sum of four atoms: a row that is soon explained, so that it is refreshed on its own. */
function atomsSum({ atoms, d }: PursuitWeights, k: number): number {
  return [3, 9, 27, 81].reduce((sum, j) => sum + atoms[j * d + k]!, 0);
}
