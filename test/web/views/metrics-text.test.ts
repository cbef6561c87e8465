import { Histogram, Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import {
  byLabel,
  parseMetrics,
  quantileOf,
  rateOf,
  type Reading,
  sumOf,
} from "../../../web/src/views/live/metrics-text.ts";

const reading = (at: number, text: string): Reading => ({ at, samples: parseMetrics(text) });

const BEFORE = reading(
  10,
  `# HELP x y\n# TYPE x counter\nstops{dictionary="a",stop="max_atoms"} 5\nstops{dictionary="b",stop="tolerance"} 0\nheld 1.5e3\n`,
);
const NOW = reading(
  12,
  `stops{dictionary="a",stop="max_atoms"} 25\nstops{dictionary="b",stop="tolerance"} 30\nodd{text="a\\"b\\\\c\\nd"} 1\nheld 7\n`,
);

describe("metrics", () => {
  it("are read with their labels", () => {
    expect(BEFORE.samples).toHaveLength(3);
    expect(NOW.samples.find(({ name }) => name === "odd")!.labels).toEqual({ text: 'a"b\\c\nd' });
    expect(sumOf(BEFORE, "held")).toBe(1500);
    expect(sumOf(NOW, "stops", { dictionary: "b" })).toBe(30);
  });

  it("give rates between two readings, and none below zero when the server starts anew", () => {
    expect(rateOf(BEFORE, NOW, "stops")).toBe(25);
    expect(rateOf(NOW, { ...BEFORE, at: 14 }, "stops")).toBe(0);
  });

  it("are summed by a label, the largest first, zeros left out", () => {
    expect(byLabel(NOW, "stops", "stop")).toEqual([
      ["tolerance", 30],
      ["max_atoms", 25],
    ]);
    expect(byLabel(BEFORE, "stops", "dictionary")).toEqual([["a", 5]]);
  });

  it("give quantiles of what a histogram of prom-client counted in between", async () => {
    const registry = new Registry();
    const histogram = new Histogram({
      name: "wait",
      help: "h",
      labelNames: ["stage"],
      buckets: [1, 2, 4],
      registers: [registry],
    });
    for (const value of [3, 3, 3]) histogram.observe({ stage: "queue" }, value);
    const before = reading(0, await registry.metrics());
    for (const value of [0.5, 1.5, 1.5, 1.5]) histogram.observe({ stage: "queue" }, value);
    histogram.observe({ stage: "other" }, 100);
    const now = reading(1, await registry.metrics());
    expect(quantileOf(before, now, "wait", { stage: "queue" }, 0.25)).toBeCloseTo(1);
    expect(quantileOf(before, now, "wait", { stage: "queue" }, 1)).toBeCloseTo(2);
    expect(quantileOf(before, now, "wait", { stage: "other" }, 0.5)).toBe(4);
    expect(quantileOf(now, now, "wait", { stage: "queue" }, 0.5)).toBeNull();
  });
});
