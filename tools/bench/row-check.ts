/**
 * What checking rows and summing their spread costs: the kernel against the same in JavaScript.
 *
 *     npm run build && npx tsx tools/bench/row-check.ts
 */
import { SpreadKernel } from "../../src/engine/serving/spread/spread-kernel.ts";
import { normals } from "../../test/support/seeded.ts";

const WIDTH = 384;
const MILLISECONDS = 500;

const kernel = new SpreadKernel();

/** The same sums in one pass. */
function inJavaScript(rows: Float32Array, first: Float32Array, sums: Float64Array): number {
  let squares = 0;
  for (let i = 0; i < rows.length;) {
    for (let c = 0; c < WIDTH; c++) {
      const away = rows[i++]! - first[c]!;
      sums[c]! += away;
      squares += away * away;
    }
  }
  return squares;
}

/** Microseconds of one call, of many. */
function timed(run: () => unknown): number {
  for (const end = performance.now() + MILLISECONDS; performance.now() < end;) run();
  const start = performance.now();
  let calls = 0;
  do run();
  while (++calls > 0 && performance.now() - start < MILLISECONDS);
  return ((performance.now() - start) * 1000) / calls;
}

console.log(`microseconds, rows of ${WIDTH}\n`);
console.log("  rows  JavaScript  kernel");
for (const count of [1, 32, 1000, 10_000]) {
  const rows = normals(count * WIDTH, 1);
  const first = rows.subarray(0, WIDTH);
  const sums = new Float64Array(WIDTH);
  const [before, after] = [inJavaScript, kernel.add.bind(kernel)].map((add) => timed(() => add(rows, first, sums)));
  console.log(`${String(count).padStart(6)}${before!.toFixed(1).padStart(12)}${after!.toFixed(1).padStart(8)}`);
}
