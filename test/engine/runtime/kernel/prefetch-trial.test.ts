import { describe, expect, it } from "vitest";
import { createArena } from "../../../../src/engine/runtime/kernel/arena.ts";
import { compilePursuitKernel } from "../../../../src/engine/runtime/kernel/pursuit-kernel.ts";
import { createPrefetchTrial, PairedTrial } from "../../../../src/engine/runtime/kernel/prefetch-trial.ts";

it.each([undefined, 1_000_000])(
  "comes to an answer and changes nothing but argmaxes, memory of %s bytes",
  (memoryLimit) => {
    const arena = createArena({ d: 16, m: 700, lanes: 2, slots: 2, gram: true, ...(memoryLimit && { memoryLimit }) });
    for (const { memory } of arena.shards) new Float32Array(memory.buffer).fill(0.5);
    const trial = createPrefetchTrial(compilePursuitKernel(), arena);
    while (trial.step());
    expect(trial.ratio).toBeGreaterThan(0);
    for (const { memory, argmaxes } of arena.shards) {
      const floats = new Float32Array(memory.buffer);
      floats.fill(0.5, argmaxes / 4, argmaxes / 4 + 2 * 16);
      expect(floats.every((value) => value === 0.5)).toBe(true);
    }
  },
);

/** A trial of two ways that take so long, by a clock of its own; what ran, in order. */
function trialOf(milliseconds: (way: "first" | "second", turn: number) => number): {
  trial: PairedTrial;
  ran: string[];
} {
  let now = 0;
  const ran: string[] = [];
  const way = (name: "first" | "second") => (): void => {
    now += milliseconds(name, Math.floor(ran.length / 2));
    ran.push(name);
  };
  return { trial: new PairedTrial([way("first"), way("second")], () => now), ran };
}

function toTheEnd(trial: PairedTrial): number {
  let turns = 1;
  while (trial.step()) turns++;
  return turns;
}

describe("a paired trial", () => {
  it("says nothing before its last turn", () => {
    const { trial } = trialOf(() => 1);
    do expect(trial.ratio).toBeNaN();
    while (trial.step());
    expect(trial.ratio).toBe(1);
  });

  it.each([
    [3, 1.5],
    [1, 0.5],
  ])("finds that the second way takes %f to the first one's 2", (taken, ratio) => {
    const { trial } = trialOf((way) => (way === "second" ? taken : 2));
    toTheEnd(trial);
    expect(trial.ratio).toBe(ratio);
  });

  it("lets neither the start nor a pause decide", () => {
    // While it warms up the second way is slow, and so it is in a third of the turns that count.
    const { trial } = trialOf((way, turn) => (way === "first" ? 2 : turn < 32 || turn % 3 === 0 ? 50 : 1));
    const turns = toTheEnd(trial);
    expect(turns).toBeGreaterThan(32);
    expect(trial.ratio).toBe(0.5);
  });

  it("begins with either way in turn, and does nothing once it is over", () => {
    const { trial, ran } = trialOf(() => 1);
    const turns = toTheEnd(trial);
    expect(ran.slice(0, 4)).toEqual(["first", "second", "second", "first"]);
    expect(ran).toHaveLength(2 * turns);
    expect(trial.step()).toBe(false);
    expect(ran).toHaveLength(2 * turns);
  });
});
