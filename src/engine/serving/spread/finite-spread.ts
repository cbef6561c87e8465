import { setImmediate as nextTurn } from "node:timers/promises";
import { EngineError } from "../../core/errors.ts";
import type { Rows } from "../../core/rows.ts";
import type { Spread } from "./spread-kernel.ts";

/** Values after which others get a turn: about a millisecond. */
const VALUES_AT_ONCE = 1 << 20;

/**
 * Σ||x − mean||² over rows, the mean being theirs: at once of few rows, in turns of many.
 *
 * In one pass, from the first row and not from zero: Σ(x − s)² − (Σ(x − s))²/n loses digits only to what lies far from s,
 * and s is one of the rows.
 * @param onTurn called after every turn of others; what it throws ends the work
 * @param name of a row, for the error
 * @throws EngineError PURSUIT_NOT_FINITE with the row and column
 */
export function finiteSpread(rows: Rows, kernel: Spread, onTurn: () => void, name = "Row"): number | Promise<number> {
  const { data, count, width } = rows;
  if (count < 2) {
    // One row does not vary, and is gone through before the kernel would have its copy.
    for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i]!)) throw notFinite(rows, i, name);
    return 0;
  }
  const atOnce = Math.max(1, Math.floor(VALUES_AT_ONCE / width)) * width;
  const first = data.subarray(0, width);
  const sums = new Float64Array(width);
  const squaresFrom = (from: number): number => {
    const squares = kernel.add(data.subarray(from, from + atOnce), first, sums);
    if (!Number.isFinite(squares)) throw notFinite(rows, from, name);
    return squares;
  };
  const aroundMean = (squares: number): number => {
    // By index: an iterator makes an object of every number.
    for (let i = 0; i < width; i++) squares -= (sums[i]! * sums[i]!) / count;
    return squares;
  };
  const inTurns = async (): Promise<number> => {
    let squares = squaresFrom(0);
    for (let from = atOnce; from < data.length; from += atOnce) {
      await nextTurn();
      onTurn();
      squares += squaresFrom(from);
    }
    return aroundMean(squares);
  };
  return data.length <= atOnce ? aroundMean(squaresFrom(0)) : inTurns();
}

/** @param from where the first value that is not finite is looked for */
function notFinite({ data, width }: Rows, from: number, name: string): EngineError {
  let at = from;
  while (Number.isFinite(data[at]!)) at++;
  const message = `${name} ${Math.floor(at / width)}, column ${at % width} is ${data[at]}; every value must be a finite float32.`;
  return new EngineError("PURSUIT_NOT_FINITE", message);
}
