import { describe, expect, it } from "vitest";
import type { ServedCode } from "../../../src/engine/dictionaries/verify/step-margins.ts";
import { goalNotes, pathLines, type TimedBaseline, type TimedPath } from "../../../tools/bench/path-lines.ts";
import { seeded } from "../../../tools/bench/shapes.ts";

const SHAPE = { d: 2, m: 2, steps: 2, goal: 10 };
/** Rows of two unit axes: the code of a row is the row. */
const WEIGHTS = { ...seeded(SHAPE, 1).weights, atoms: Float32Array.of(1, 0, 0, 1) };
const ROWS = Float32Array.of(3, 1);
const SERVED: ServedCode = {
  indices: [0, 1],
  values: [3, 1],
  stop: "max_atoms",
  trace: { indices: [0, 1], values: [3, 1] },
  residualNorms: [1, 0],
};
const PATH: TimedPath = { shape: SHAPE, batch: 1, path: "fused", us: 20, codes: [SERVED], roofline: 15 };

function baseline(name: TimedBaseline["baseline"], us: readonly number[], values: readonly number[]): TimedBaseline {
  const codes = { us_per_row: [], indptr: [0, 2], indices: [0, 1], values };
  return { baseline: name, timed: us.map((one, i) => ({ batch: [1, 64][i]!, us: one, codes })) };
}

describe("lines of a path", () => {
  it("give each baseline its better batch", () => {
    const baselines = [baseline("saelens", [400, 300], [3, 1]), baseline("torch.compile", [150], [3, 1])];
    const { lines, notes } = pathLines(PATH, baselines, ROWS, WEIGHTS);
    expect(lines.map((line) => [line.baseline, line.baseline_batch, line.baseline_us_per_row, line.ratio])).toEqual([
      ["saelens", 64, 300, 15],
      ["torch.compile", 1, 150, 7.5],
    ]);
    expect(lines[0]).toMatchObject({ us_per_row: 20, roofline_us: 15, roofline_share: 0.75, goal: 10 });
    expect(notes).toEqual([]);
    expect(goalNotes("fused", lines)).toEqual(["fused: 7.5 × the fastest baseline (torch.compile), goal 10: MISSED"]);
  });

  it("hold no ratio where codes disagree, and a note says where", () => {
    const { lines, notes } = pathLines(PATH, [baseline("saelens", [400], [3, 1.5])], ROWS, WEIGHTS);
    expect(lines[0]).toMatchObject({ baseline_us_per_row: 400, ratio: null });
    expect(notes).toEqual(["fused and saelens disagree: row 0, selection 2, atom 1; no ratio"]);
    expect(goalNotes("fused", lines)).toEqual([]);
  });

  it("stand alone without baselines", () => {
    const { lines } = pathLines(PATH, [], ROWS, WEIGHTS);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ baseline: "none", baseline_us_per_row: null, ratio: null, us_per_row: 20 });
  });
});
