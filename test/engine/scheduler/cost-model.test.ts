import { describe, expect, it } from "vitest";
import { CostModel } from "../../../src/engine/scheduler/cost-model.ts";

describe("CostModel", () => {
  it("starts from the warm-up and grows with the budget", () => {
    const costs = new CostModel({ steps: 8, milliseconds: 0.9 });
    expect(costs.rowCost(1)).toBeCloseTo(0.15);
    expect(costs.rowCost(64)).toBeGreaterThan(costs.rowCost(8));
  });

  it("comes to predict what it is shown, class by class", () => {
    const costs = new CostModel({ steps: 8, milliseconds: 1 });
    for (let i = 0; i < 60; i++) {
      costs.learn(new Int32Array(100).fill(32), 100 * 0.25);
      costs.learn(new Int32Array(10).fill(500), 10 * 3);
    }
    expect(costs.rowCost(32)).toBeCloseTo(0.25, 3);
    expect(costs.rowCost(20)).toBeCloseTo(0.25, 3);
    expect(costs.rowCost(500)).toBeCloseTo(3, 3);
  });

  it("is moved little by one slow batch", () => {
    const costs = new CostModel({ steps: 8, milliseconds: 1 });
    const before = costs.rowCost(32);
    costs.learn(Int32Array.of(32), 60_000);
    expect(costs.rowCost(32)).toBeLessThan(before * 1.4);
  });
});
