/**
 * What bounds the fused kernel: bytes of Gram rows a second, at random rows as a pursuit selects them, one row at a time
 * and two at once, beside the same over one Gram row that stays in cache (what computing alone allows).
 *
 *     npx tsx tools/bench/kernel.ts          after "npm run build"
 */
import { createArena } from "../../src/engine/executor/kernel/arena.ts";
import { compilePursuitKernel, instantiatePursuitKernel } from "../../src/engine/executor/kernel/pursuit-kernel.ts";
import { random } from "../../test/support/seeded.ts";

/** Gram bytes of one measurement, and measurements. */
const BYTES = 2e9;
const ROUNDS = 5;

const module = compilePursuitKernel();
console.log("    m  Gram MiB  in cache GB/s  one row GB/s  two rows GB/s  two / one");
for (const m of [4096, 8192, 24576]) {
  const arena = createArena({ d: 16, m, lanes: 2, slots: 2, gram: true });
  const [{ memory, correlations, gram, width, winners }] = arena.shards as [(typeof arena.shards)[0]];
  const kernel = instantiatePursuitKernel(module, memory, false);
  // Every page written, so that none is the shared page of zeros.
  new Float32Array(memory.buffer).fill(1e-3);
  const { integer } = random(m);
  const rows = Array.from({ length: 4096 }, () => gram + 4 * width * integer(m));
  const calls = Math.round(BYTES / (4 * width) / 2) * 2;
  const one = (at: number): void => kernel.advance(correlations, at, 1e-6, width, winners);
  const two = (a: number, b: number): void =>
    kernel.advanceTwo(correlations, a, 1e-6, winners, correlations + 4 * width, b, 1e-6, winners + 64, width);
  const rates: Record<"cached" | "one" | "two", number[]> = { cached: [], one: [], two: [] };
  const time = (name: keyof typeof rates, run: () => void): void => {
    const started = performance.now();
    run();
    rates[name].push((calls * 4 * width) / (performance.now() - started) / 1e6);
  };
  for (let round = 0; round < ROUNDS; round++) {
    time("cached", () => {
      for (let i = 0; i < calls; i++) one(gram);
    });
    time("one", () => {
      for (let i = 0; i < calls; i++) one(rows[i % rows.length]!);
    });
    time("two", () => {
      for (let i = 0; i < calls; i += 2) two(rows[i % rows.length]!, rows[(i + 1) % rows.length]!);
    });
  }
  const [cached, single, pair] = [rates.cached, rates.one, rates.two].map((list) => Math.max(...list)) as [
    number,
    number,
    number,
  ];
  const cells = [(4 * m * m) / 2 ** 20, cached, single, pair].map((value) => value.toFixed(1).padStart(12));
  console.log(`${String(m).padStart(5)} ${cells.join(" ")} ${(pair / single).toFixed(2).padStart(10)}`);
}
