import { setImmediate as nextTurn } from "node:timers/promises";
import type { Rows } from "../../rows.ts";
import { SpreadKernel } from "./spread-kernel.ts";

/** Values after which others get a turn: about a millisecond. */
const VALUES_AT_ONCE = 1 << 20;

let kernel: SpreadKernel | null = null;

/**
 * Σ||x − mean||² over rows, the mean being theirs; not finite exactly where a value is not. Many rows are gone through in
 * turns.
 *
 * In one pass, from the first row and not from zero: Σ(x − s)² − (Σ(x − s))²/n loses digits only to what lies far from s,
 * and s is one of the rows.
 */
export function rowSpread(rows: Rows): number | Promise<number> {
  const { data, count, width } = rows;
  if (count === 0) return 0;
  kernel ??= new SpreadKernel();
  if (data.length > VALUES_AT_ONCE) return inTurns(rows, kernel);
  const sums = new Float64Array(width);
  return aroundMean(kernel.add(data, data.subarray(0, width), sums), sums, count);
}

async function inTurns({ data, count, width }: Rows, adder: SpreadKernel): Promise<number> {
  const sums = new Float64Array(width);
  const atOnce = Math.max(1, Math.floor(VALUES_AT_ONCE / width)) * width;
  let squares = 0;
  for (let from = 0; from < data.length; from += atOnce) {
    if (from > 0) await nextTurn();
    squares += adder.add(data.subarray(from, from + atOnce), data.subarray(0, width), sums);
  }
  return aroundMean(squares, sums, count);
}

/** Of squares and sums around one row, the squares around the mean. */
function aroundMean(squares: number, sums: Float64Array, count: number): number {
  let spread = squares;
  for (const sum of sums) spread -= (sum * sum) / count;
  return spread;
}
