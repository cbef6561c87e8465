import { describe, expect, it } from "vitest";
import type { Code } from "../../../../web/src/api/types.ts";
import { figuresAt, traceOf, wordsOf } from "../../../../web/src/views/encode/trace.ts";

/** A row of norm 2 that selects atom 7, 3 and 7 again. */
const CODE: Code = {
  indices: [3, 7],
  values: [0.5, 1.5],
  labels: ["cut: a piece of meat", null],
  atoms: 2,
  steps: 3,
  residual_norm: 0.5,
  relative_error: 0.25,
  stop: "no_gain",
  trace: { indices: [7, 3, 7], values: [1.25, 0.5, 0.25], residual_norms: [1.5, 1, 0.5] },
};

describe("a trace", () => {
  it("lists selections in order, with shares of the start and repetitions", () => {
    const { selections, start } = traceOf(CODE);
    expect(start).toBe(2);
    expect(selections.map(({ step, feature, value, left, again }) => [step, feature, value, left, again])).toEqual([
      [1, 7, 1.25, 0.75, false],
      [2, 3, 0.5, 0.5, false],
      [3, 7, 0.25, 0.25, true],
    ]);
    expect(selections.map(({ words }) => words?.head)).toEqual([undefined, "cut", undefined]);
  });

  it("gives the figures of every smaller budget", () => {
    const trace = traceOf(CODE);
    expect(figuresAt(trace, 0)).toEqual({ selections: 0, atoms: 0, left: 1, explained: 0, stop: "max_atoms" });
    expect(figuresAt(trace, 2)).toEqual({ selections: 2, atoms: 2, left: 0.5, explained: 0.75, stop: "max_atoms" });
    expect(figuresAt(trace, 3)).toEqual({ selections: 3, atoms: 2, left: 0.25, explained: 0.9375, stop: "no_gain" });
    expect(figuresAt(trace, 99)).toEqual(figuresAt(trace, 3));
  });

  it("has no residuals where the answer has none: a transcoder without targets", () => {
    const { residual_norm: _, relative_error: __, ...code } = CODE;
    const trace = traceOf({ ...code, trace: { indices: [7], values: [1] } });
    expect(trace.selections[0]?.left).toBeNull();
    expect(figuresAt(trace, 0)).toMatchObject({ left: null, explained: null });
    expect(figuresAt(trace, 1)).toMatchObject({ atoms: 1, left: null, explained: null });
  });

  it("of a row that equals the centre divides by nothing", () => {
    const trace = traceOf({
      ...CODE,
      residual_norm: 0,
      relative_error: 0,
      indices: [],
      values: [],
      labels: [],
      trace: { indices: [], values: [], residual_norms: [] },
    });
    expect(figuresAt(trace, 0)).toMatchObject({ atoms: 0, left: 1, stop: "no_gain" });
  });
});

describe("words of a label", () => {
  it.each([
    ["cut: a piece of meat", undefined, { head: "cut", gloss: "a piece of meat", guessed: false }],
    ["no gloss", "labels.json", { head: "no gloss", gloss: "", guessed: false }],
    ["ratio 3:1 of things", null, { head: "ratio 3:1 of things", gloss: "", guessed: false }],
    ["meat, beef", "examples", { head: "meat, beef", gloss: "", guessed: true }],
    [null, "examples", null],
    [undefined, undefined, null],
  ])("%j from %j", (text, source, words) => expect(wordsOf(text, source)).toEqual(words));
});
