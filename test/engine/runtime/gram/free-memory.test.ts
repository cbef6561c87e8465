import { expect, it } from "vitest";
import { freeMemory } from "../../../../src/engine/runtime/gram/free-memory.ts";

it("leaves nothing of an array, whole or part of a buffer", () => {
  const whole = new Float32Array(1 << 20).fill(1);
  freeMemory(whole);
  expect(whole.length).toBe(0);
  expect(whole.buffer.byteLength).toBe(0);
  const part = new Float32Array(1 << 20).subarray(8, 16);
  freeMemory(part);
  expect(part.buffer.byteLength).toBe(0);
});

it("gives the memory back at once", () => {
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 100; i++) freeMemory(new Float32Array(1 << 20));
  // 400 MiB came and went.
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 * 2 ** 20);
});
