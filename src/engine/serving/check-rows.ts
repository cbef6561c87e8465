import { setImmediate as nextTurn } from "node:timers/promises";
import { EngineError } from "../core/errors.ts";
import { type DictionaryManifest, makesItsRow } from "../core/dictionary.ts";
import type { Rows } from "../core/rows.ts";

/** @throws EngineError PURSUIT_WRONG_WIDTH */
export function checkWidth({ width }: Rows, { dIn, layers }: Pick<DictionaryManifest, "dIn" | "layers">): void {
  if (width === dIn) return;
  const sideBySide =
    layers === undefined ? "" : `, or of ${layers} layers of ${dIn / layers}: [n, ${layers}, ${dIn / layers}]`;
  const message = `The rows are ${width} wide; this dictionary takes rows of ${dIn}${sideBySide}. Check the model, layer and hook.`;
  throw new EngineError("PURSUIT_WRONG_WIDTH", message);
}

/** @throws EngineError PURSUIT_WRONG_WIDTH */
export function checkTargets({ width, count }: Rows, rows: number, dOut: number): void {
  if (width === dOut && count === rows) return;
  const message = `targets holds ${count} rows of ${width}; ${rows} rows of ${dOut} were due, one for each input.`;
  throw new EngineError("PURSUIT_WRONG_WIDTH", message);
}

/** Checks that rows are as wide as atoms. @throws EngineError PURSUIT_ROLE_MISMATCH */
export function checkCorrelated(id: string, { role, dIn, dOut }: DictionaryManifest): void {
  if (makesItsRow(role) && dIn === dOut) return;
  const message = `include: dictionary ${id} is a ${role}, whose atoms are no directions of the rows that it takes, so there are no correlations. Leave them out.`;
  throw new EngineError("PURSUIT_ROLE_MISMATCH", message);
}

/** Values per turn: about a millisecond. */
const VALUES_AT_ONCE = 1 << 20;

export interface RowsCheck {
  /** Whether to sum the variance of the rows while they are in the cache. */
  readonly summary: boolean;
  /** Called after each pause for other work; an error it throws ends the check. */
  readonly onTurn: () => void;
  /** Name of a row, for the error. */
  readonly name?: string;
}

/**
 * Checks that every value is finite: at once for few rows, in turns for many.
 * @returns Σ||x − mean||² over the rows and their own mean; null unless `summary` is set
 * @throws EngineError PURSUIT_NOT_FINITE with the row and column
 */
export function checkFinite(
  rows: Rows,
  { summary, onTurn, name = "Row" }: RowsCheck,
): number | null | Promise<number | null> {
  const { data, count, width } = rows;
  const variance = summary ? new Variance(data.subarray(0, width)) : null;
  const atOnce = Math.max(1, Math.floor(VALUES_AT_ONCE / width)) * width;
  const check = (from: number): void => {
    const part = data.subarray(from, from + atOnce);
    const at = firstNotFinite(part);
    if (at >= 0) throw notFinite(rows, from + at, name);
    variance?.add(part);
  };
  const result = (): number | null => variance?.total(count) ?? null;
  const inTurns = async (): Promise<number | null> => {
    check(0);
    for (let from = atOnce; from < data.length; from += atOnce) {
      await nextTurn();
      onTurn();
      check(from);
    }
    return result();
  };
  if (data.length > atOnce) return inTurns();
  check(0);
  return result();
}

const ZERO = 0;

/** Index of the first value that is not finite; -1 if all are. Four sums at once take half as long as a look at each value. */
function firstNotFinite(values: Float32Array): number {
  const whole = values.length & ~3;
  // A finite number times 0 is 0; Infinity and NaN make the sum NaN.
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  for (let i = 0; i < whole; i += 4) {
    s0 += values[i]! * ZERO;
    s1 += values[i + 1]! * ZERO;
    s2 += values[i + 2]! * ZERO;
    s3 += values[i + 3]! * ZERO;
  }
  for (let i = whole; i < values.length; i++) s0 += values[i]! * ZERO;
  return s0 + s1 + s2 + s3 === 0 ? -1 : values.findIndex((value) => !Number.isFinite(value));
}

/**
 * Σ||x − mean||² in one pass, shifted by the first row s: Σ(x − s)² − (Σ(x − s))²/n loses few digits, because s is near
 * the rows.
 */
class Variance {
  readonly #shift: Float32Array;
  readonly #sums: Float64Array;
  #squares = 0;

  constructor(first: Float32Array) {
    this.#shift = first;
    this.#sums = new Float64Array(first.length);
  }

  /** Adds whole rows. */
  add(rows: Float32Array): void {
    const shift = this.#shift;
    const sums = this.#sums;
    const { length: width } = shift;
    let squares = 0;
    for (let from = 0; from < rows.length; from += width) {
      for (let i = 0; i < width; i++) {
        const off = rows[from + i]! - shift[i]!;
        sums[i]! += off;
        squares += off * off;
      }
    }
    this.#squares += squares;
  }

  total(count: number): number {
    if (count < 2) return 0;
    let total = this.#squares;
    // By index: an iterator creates an object for every number.
    for (let i = 0; i < this.#sums.length; i++) total -= this.#sums[i]! ** 2 / count;
    return total;
  }
}

function notFinite({ data, width }: Rows, at: number, name: string): EngineError {
  const message = `${name} ${Math.floor(at / width)}, column ${at % width} is ${data[at]}; every value must be a finite float32.`;
  return new EngineError("PURSUIT_NOT_FINITE", message);
}
