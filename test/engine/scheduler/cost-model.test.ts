import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { budgetClass, CostModel } from "../../../src/engine/scheduler/cost-model.ts";
import { random as seeded } from "../../support/seeded.ts";

const OPEN = { tolerance: 0, residualNorm: 0, minGain: 0 };
const classOf = (maxAtoms: number, limits: Partial<typeof OPEN> = {}): number =>
  budgetClass({ maxAtoms, ...OPEN, ...limits });

/** A batch of rows alike, as the model is shown it. */
function batch(rows: number, maxAtoms: number, steps: number, milliseconds: number, limits: Partial<typeof OPEN> = {}) {
  const asked = new Int32Array(rows).fill(maxAtoms);
  return {
    classes: new Uint16Array(rows).fill(classOf(maxAtoms, limits)),
    asked,
    allowed: asked,
    steps: new Uint32Array(rows).fill(steps),
    milliseconds,
  };
}

describe("CostModel", () => {
  it("starts from the warm-up, on the side of too much, and grows with the budget", () => {
    const costs = new CostModel({ steps: 8, milliseconds: 1 });
    expect(costs.overhead + costs.rowCost(classOf(8), 8)).toBeCloseTo(1);
    expect(costs.rowCost(classOf(64), 64)).toBeGreaterThan(costs.rowCost(classOf(8), 8));
    // Without a limit a row goes as far as it may, though few go beyond hundreds; a limit ends half of them early.
    expect(costs.expectedSteps(classOf(64), 64)).toBe(64);
    expect(costs.expectedSteps(classOf(4096), 4096)).toBe(256);
    expect(costs.expectedSteps(classOf(64, { tolerance: 0.1 }), 64)).toBe(32);
  });

  it("comes to predict what it is shown: a run, a row and a step", () => {
    const { next: random } = seeded(1);
    const real = (rows: number, steps: number): number => 0.4 + rows * 0.05 + rows * steps * 0.004;
    const costs = new CostModel({ steps: 8, milliseconds: 0.5 });
    for (let i = 0; i < 400; i++) {
      const rows = 1 + Math.floor(random() ** 2 * 100);
      const steps = 1 + Math.floor(random() * 64);
      costs.learn(batch(rows, steps, steps, real(rows, steps)));
    }
    for (const [rows, steps] of [
      [1, 16],
      [20, 64],
      [100, 4],
      [60, 32],
    ] as const) {
      const predicted = costs.overhead + rows * costs.rowCost(classOf(steps), steps);
      expect(predicted / real(rows, steps)).toBeGreaterThan(0.85);
      expect(predicted / real(rows, steps)).toBeLessThan(1.15);
    }
  });

  it("learns that rows with a limit end early, apart from those without", () => {
    const costs = new CostModel({ steps: 8, milliseconds: 1 });
    for (let i = 0; i < 30; i++) {
      costs.learn(batch(50, 64, 9, 50 * (0.1 + 9 * 0.01), { tolerance: 0.3 }));
      costs.learn(batch(50, 64, 64, 50 * (0.1 + 64 * 0.01)));
    }
    expect(costs.expectedSteps(classOf(64, { tolerance: 0.3 }), 64)).toBeCloseTo(9, 1);
    expect(costs.expectedSteps(classOf(64), 64)).toBeCloseTo(64, 1);
  });

  it("learns no expectation from rows that were shortened", () => {
    const costs = new CostModel({ steps: 8, milliseconds: 1 });
    costs.learn(batch(10, 64, 60, 5));
    const before = costs.expectedSteps(classOf(64), 64);
    costs.learn({ ...batch(10, 64, 6, 1), allowed: new Int32Array(10).fill(6) });
    expect(costs.expectedSteps(classOf(64), 64)).toBe(before);
  });

  it("is close after a few batches, and moved little by one slow one", () => {
    const costs = new CostModel({ steps: 8, milliseconds: 1 });
    const predicted = (): number => costs.overhead + 32 * costs.rowCost(classOf(32), 32);
    for (let i = 0; i < 8; i++) costs.learn(batch(32, 32, 32, 8));
    expect(predicted()).toBeGreaterThan(7);
    expect(predicted()).toBeLessThan(10);
    for (let i = 0; i < 20; i++) costs.learn(batch(32, 32, 32, 8));
    const before = predicted();
    costs.learn(batch(32, 32, 32, 60_000));
    expect(predicted()).toBeLessThan(before * 1.5);
  });

  it("keeps from one atom to all of them, more the more may be kept", () => {
    const costs = new CostModel({ steps: 8, milliseconds: 1 });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 65_536 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (maxAtoms, a, b) => {
          const one = classOf(maxAtoms);
          const kept = [Math.min(a, b), Math.max(a, b)].map((keep) => costs.keptAtoms(one, maxAtoms, keep));
          expect(kept[0]).toBeLessThanOrEqual(kept[1]!);
          expect(kept[0]).toBeGreaterThanOrEqual(Math.min(1, maxAtoms));
          expect(kept[1]).toBeLessThanOrEqual(maxAtoms);
          expect(costs.keptAtoms(one, maxAtoms, 1)).toBe(maxAtoms);
          const spent = costs.rowCost(one, maxAtoms, a);
          expect(spent).toBeGreaterThan(0);
          expect(spent).toBeLessThanOrEqual(costs.rowCost(one, maxAtoms));
        },
      ),
    );
  });

  it("tells budgets apart in boundedly many classes, whatever clients make up", () => {
    const limit = fc.double({ min: 0, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 65_536 }), limit, limit, limit, (maxAtoms, tolerance, minGain, norm) => {
        const one = budgetClass({ maxAtoms, tolerance, minGain, residualNorm: norm });
        expect(Number.isInteger(one) && one >= 0 && one < 17 * 49).toBe(true);
      }),
    );
    expect(new Set([1, 2, 3, 5, 9, 17].map((atoms) => classOf(atoms))).size).toBe(6);
    expect(classOf(64, { tolerance: 0.3 })).not.toBe(classOf(64, { tolerance: 0.01 }));
    expect(classOf(64, { tolerance: 0.3 })).not.toBe(classOf(64, { minGain: 0.3 }));
  });
});
