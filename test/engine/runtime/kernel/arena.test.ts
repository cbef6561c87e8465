import fc from "fast-check";
import { expect, it } from "vitest";
import { createArena, scatterIntoShards } from "../../../../src/engine/runtime/kernel/arena.ts";

const KIB = 1024;

it("gives every part a place of its own, within the memory's limit, and every atom one shard", () => {
  const shape = fc.record({
    d: fc.integer({ min: 1, max: 70 }),
    m: fc.integer({ min: 1, max: 700 }),
    lanes: fc.integer({ min: 2, max: 6 }),
    slots: fc.integer({ min: 2, max: 9 }),
    gram: fc.boolean(),
    memoryLimit: fc.integer({ min: 800 * KIB, max: 3000 * KIB }),
  });
  fc.assert(
    fc.property(shape, (given) => {
      const { m, slots, lanes, gram, memoryLimit } = given;
      const arena = createArena(given);
      let next = 0;
      for (const [i, shard] of arena.shards.entries()) {
        expect(shard.from).toBe(next);
        next += shard.count;
        // An atom is touched by whole blocks of 256 bytes, its last one beyond it.
        if (i === 0) {
          const touched = arena.atoms + 4 * arena.rowWidth * m + 192;
          expect(touched).toBeLessThanOrEqual(shard.memory.buffer.byteLength);
        }
        const parts: [number, number][] = [
          [shard.argmaxes, 64 * lanes],
          [shard.correlations, 4 * shard.width * slots],
          ...(gram ? ([[shard.gram, 4 * shard.width * m]] as [number, number][]) : []),
          ...(i === 0
            ? ([
                [arena.atoms, 4 * arena.rowWidth * m],
                [arena.rows[0], 4 * arena.rowWidth * slots],
                [arena.rows[1], 4 * arena.rowWidth * slots],
                [arena.residuals, 4 * arena.rowWidth * slots],
                [arena.rows64, 8 * arena.rowWidth * lanes],
                [arena.centre, 4 * arena.rowWidth],
              ] as [number, number][])
            : []),
        ];
        parts.sort((a, b) => a[0] - b[0]);
        for (const [k, [at, bytes]] of parts.entries()) {
          expect(at % 64).toBe(0);
          expect(at + bytes).toBeLessThanOrEqual(parts[k + 1]?.[0] ?? shard.memory.buffer.byteLength);
        }
        // Pages of 64 KiB round a memory up.
        expect(shard.memory.buffer.byteLength).toBeLessThan(memoryLimit + 64 * KIB);
      }
      expect(next).toBe(m);
    }),
    { numRuns: 60, seed: 4 },
  );
});

it("says so when a shape fits in no number of memories", () => {
  expect(() => createArena({ d: 64, m: 4096, lanes: 2, slots: 8, gram: true, memoryLimit: 64 * KIB })).toThrow(
    "the Gram matrix of 4096 atoms does not fit",
  );
});

it("spreads values over the shards", () => {
  const arena = createArena({ d: 4, m: 200, lanes: 2, slots: 2, gram: true, memoryLimit: 90 * KIB });
  expect(arena.shards.length).toBeGreaterThan(1);
  const values = Float32Array.from({ length: 200 }, (_, j) => j + 1);
  scatterIntoShards(arena, values, (shard) => shard.correlations + 4 * shard.width);
  const found = arena.shards.flatMap(({ memory, correlations, width, count }) => [
    ...new Float32Array(memory.buffer, correlations + 4 * width, count),
  ]);
  expect(found).toEqual([...values]);
});
