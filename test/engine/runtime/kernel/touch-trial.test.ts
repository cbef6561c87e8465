import { expect, it } from "vitest";
import { createArena } from "../../../../src/engine/runtime/kernel/arena.ts";
import { compilePursuitKernel } from "../../../../src/engine/runtime/kernel/pursuit-kernel.ts";
import { createTouchTrial } from "../../../../src/engine/runtime/kernel/touch-trial.ts";

it.each([undefined, 1_000_000])(
  "comes to an answer and changes nothing but argmaxes, memory of %s bytes",
  (memoryLimit) => {
    const arena = createArena({ d: 16, m: 700, lanes: 2, slots: 2, gram: true, ...(memoryLimit && { memoryLimit }) });
    for (const { memory } of arena.shards) new Float32Array(memory.buffer).fill(0.5);
    const trial = createTouchTrial(compilePursuitKernel(), arena);
    while (trial.step());
    expect(trial.ratio).toBeGreaterThan(0);
    for (const { memory, argmaxes } of arena.shards) {
      const floats = new Float32Array(memory.buffer);
      floats.fill(0.5, argmaxes / 4, argmaxes / 4 + 2 * 16);
      expect(floats.every((value) => value === 0.5)).toBe(true);
    }
  },
);
