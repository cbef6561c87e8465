/** Both forms of the pursuit graph against the float64 oracle, over shapes, settings and budgets that nobody thought of. */
import fc from "fast-check";
import { expect, it } from "vitest";
import type { Budget } from "../../src/engine/core/budget.ts";
import {
  INPUT_NORMS,
  type PursuitSettings,
  RESELECTS,
  SCORES,
  PURSUIT_PATHS,
} from "../../src/engine/core/dictionary.ts";
import type { PursuitWeights } from "../../src/engine/core/dictionary-weights.ts";
import { createEncoderSession } from "../../src/engine/runtime/sessions/create-session.ts";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
import { compare, pursuitOf } from "../support/agreement.ts";
import { batchOf } from "../support/batch.ts";
import { FULL } from "../support/full.ts";
import { oraclePursuit, pursuitSpace } from "../support/oracle.ts";
import { normals, random, randomAtoms } from "../support/seeded.ts";

interface Case {
  readonly d: number;
  readonly m: number;
  readonly seed: number;
  readonly unroll: number;
  readonly withCenter: boolean;
  readonly settings: Pick<PursuitSettings, "score" | "reselect" | "residualThreshold" | "inputNorm">;
  readonly budgets: readonly (Budget & { readonly maxAtoms: number })[];
}

const off = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 1 });
const budget = fc
  .record({
    maxAtoms: fc.integer({ min: 0, max: 40 }),
    tolerance: off(fc.double({ min: 0.02, max: 1.1, noNaN: true })),
    residualNorm: off(fc.double({ min: 0.05, max: 4, noNaN: true })),
    minGain: off(fc.double({ min: 1e-3, max: 0.2, noNaN: true })),
  })
  .map(({ maxAtoms, ...limits }) => ({
    maxAtoms,
    ...Object.fromEntries(Object.entries(limits).filter(([, limit]) => limit !== undefined)),
  }));

const cases: fc.Arbitrary<Case> = fc.record({
  d: fc.integer({ min: 1, max: 24 }),
  m: fc.integer({ min: 1, max: 70 }),
  seed: fc.integer({ min: 0, max: 1e6 }),
  unroll: fc.integer({ min: 1, max: 5 }),
  withCenter: fc.boolean(),
  settings: fc.record({
    score: fc.constantFrom(...SCORES),
    reselect: fc.constantFrom(...RESELECTS),
    residualThreshold: fc.oneof(fc.constant(0), fc.double({ min: 0.1, max: 2, noNaN: true })),
    inputNorm: fc.constantFrom(...INPUT_NORMS),
  }),
  budgets: fc.array(budget, { minLength: 1, maxLength: 7 }),
});

/** Atoms of norms from 0.5 to 1.3: from √2 on, a pursuit may diverge, which has its own tests. */
function dictionaryOf({ d, m, seed, withCenter, settings }: Case): PursuitWeights {
  const atoms = randomAtoms(m, d, seed);
  const { next } = random(seed + 1);
  for (let j = 0; j < m; j++) {
    const norm = 0.5 + 0.8 * next();
    for (let c = 0; c < d; c++) atoms[j * d + c]! *= norm;
  }
  const center = withCenter ? normals(d, seed + 2) : null;
  return {
    kind: "matching_pursuit",
    d,
    m,
    atoms,
    center,
    settings: { ...settings, center: withCenter, maxAtoms: null },
  };
}

/** What holds of every code, whatever was selected. */
function checkForm(codes: SparseCodes, i: number, { d, atoms, center }: PursuitWeights, x: Float32Array): void {
  const indices = [...codes.indices.subarray(codes.indptr[i], codes.indptr[i + 1])];
  const values = [...codes.values.subarray(codes.indptr[i], codes.indptr[i + 1])];
  expect(indices).toEqual([...new Set(indices)].toSorted((a, b) => a - b));
  expect(values.every((value) => value !== 0 && Number.isFinite(value))).toBe(true);
  const start = [...x].map((value, c) => (center ? Math.fround(value - center[c]!) : value));
  const left = start.map((value, c) => value - indices.reduce((sum, j, k) => sum + values[k]! * atoms[j * d + c]!, 0));
  const norm = Math.hypot(...start);
  expect(Math.abs(codes.residualNorms![i]! - Math.hypot(...left))).toBeLessThanOrEqual(2e-6 * norm);
  expect(Math.abs(codes.relativeErrors![i]! * norm - Math.hypot(...left))).toBeLessThanOrEqual(2e-6 * norm);
}

it("selects what the oracle selects, whatever the shapes, settings and budgets", async () => {
  const tally = { agreed: 0, undecided: 0 };
  await fc.assert(
    fc.asyncProperty(cases, async (one) => {
      const weights = dictionaryOf(one);
      const { d } = one;
      const rows = normals(one.budgets.length * d, one.seed + 3);
      for (const path of PURSUIT_PATHS) {
        const session = await createEncoderSession(weights, { runtime: "cpu", path, threads: 1, unroll: one.unroll });
        const codes = await session.encode(batchOf(rows, d, one.budgets));
        await session.release();
        for (const [i, own] of one.budgets.entries()) {
          const x = pursuitSpace(rows.subarray(i * d, (i + 1) * d), one.settings.inputNorm);
          // A row of one number has no deviation: the engine norms it to zero, n − 1 makes the oracle divide by it.
          if (!x.every(Number.isFinite)) continue;
          checkForm(codes, i, weights, x);
          const oracle = oraclePursuit(x, weights, own);
          const verdict = compare(pursuitOf(codes, i), oracle, oracle);
          expect(verdict, `${path} form, row ${i}`).not.toMatchObject({ kind: "differs" });
          if (verdict.kind !== "differs") tally[verdict.kind]++;
        }
      }
    }),
    { seed: 20_251, numRuns: FULL ? 40 : 12 },
  );
  console.log(`pursuit graph against the oracle: ${tally.agreed} agreed, ${tally.undecided} undecided`);
  expect(tally.agreed).toBeGreaterThan(4 * tally.undecided);
});
