/**
 * What bounds the fused kernel: bytes of Gram rows a second, at random rows as a pursuit selects them, one row at a time
 * and two at once, with and without prefetching, beside the same over one Gram row that stays in cache (what
 * computing alone allows).
 *
 *     npx tsx tools/bench/kernel.ts          after "npm run build"
 */
import { createArena } from "../../src/engine/runtime/kernel/arena.ts";
import { compilePursuitKernel, instantiatePursuitKernel } from "../../src/engine/runtime/kernel/pursuit-kernel.ts";
import { random } from "../../test/support/seeded.ts";

/** Gram bytes of one measurement, and measurements. */
const BYTES = 2e9;
const ROUNDS = 5;

const module = compilePursuitKernel();
const WAYS = ["in cache", "one row", "prefetched", "two rows", "prefetched two"] as const;
type Way = (typeof WAYS)[number];

console.log(`    m     Gram MiB ${WAYS.map((way) => `${way} GB/s`.padStart(17)).join("")}`);
for (const m of [4096, 8192, 24576]) {
  const arena = createArena({ d: 16, m, lanes: 2, slots: 2, gram: true });
  const [{ memory, correlations, gram, width, argmaxes }] = arena.shards as [(typeof arena.shards)[0]];
  const kernel = instantiatePursuitKernel(module, memory, false);
  // Every page written, so that none is the shared page of zeros.
  new Float32Array(memory.buffer).fill(1e-3);
  const { integer } = random(m);
  const rows = Array.from({ length: 4096 }, () => gram + 4 * width * integer(m));
  const calls = Math.round(BYTES / (4 * width) / 2) * 2;
  const one = (at: number): void => kernel.advance(correlations, at, 1e-6, width, argmaxes);
  const two = (a: number, b: number): void =>
    kernel.advanceTwo(correlations, a, 1e-6, argmaxes, correlations + 4 * width, b, 1e-6, argmaxes + 64, width);
  const row = (i: number): number => rows[i % rows.length]!;
  const runs: Record<Way, (i: number) => void> = {
    "in cache": () => {
      one(gram);
      one(gram);
    },
    "one row": (i) => {
      one(row(i));
      one(row(i + 1));
    },
    prefetched: (i) => {
      for (const at of [row(i), row(i + 1)]) {
        kernel.prefetch(at, width);
        one(at);
      }
    },
    "two rows": (i) => two(row(i), row(i + 1)),
    "prefetched two": (i) => {
      kernel.prefetchTwo(row(i), row(i + 1), width);
      two(row(i), row(i + 1));
    },
  };
  const best = WAYS.map(() => 0);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [k, way] of WAYS.entries()) {
      const run = runs[way];
      const started = performance.now();
      for (let i = 0; i < calls; i += 2) run(i);
      best[k] = Math.max(best[k]!, (calls * 4 * width) / (performance.now() - started) / 1e6);
    }
  }
  const cells = [((4 * m * m) / 2 ** 20).toFixed(1).padStart(12), ...best.map((rate) => rate.toFixed(1).padStart(17))];
  console.log(`${String(m).padStart(5)} ${cells.join("")}`);
}
