import type { Rows } from "../engine/core/rows.ts";
import type { LineGroup } from "./line-splitter.ts";
import { NumberRows } from "./numbers/find-rows.ts";
import { lineExtent } from "./extent.ts";
import { parseJsonLine } from "./parse-json-rows.ts";
import { describe, invalid, named } from "./posted-rows.ts";
import { WireError, type WireFault } from "./codec-error.ts";

export interface LineReading {
  /** Row length of the dictionary. */
  readonly width: number;
  /** Bytes of one line at most. */
  readonly maxLine: number;
}

/** A line's own budget, in the wire's names. */
export type LineBudget = Readonly<Record<string, number>>;

/** A line that holds anything: a row, or a fault in its place. */
export interface Line {
  /** Counted from 1, blank lines too. */
  readonly line: number;
  /** As the client named it. */
  readonly id?: string | number;
  readonly budget?: LineBudget;
  readonly fault?: WireFault;
}

/** A group of lines, read. The rows are those of the lines without a fault, in order. */
export interface Lines {
  readonly rows: Rows;
  readonly lines: readonly Line[];
}

/** A line's own name in its answer: no more than a name. */
const MAX_ID = 256;
const FIELDS = new Set(["input", "budget", "id"]);
const BUDGET_FIELDS = new Set(["max_atoms", "tolerance", "residual_norm", "min_gain", "group"]);
const NEWLINE = 0x0a;

/**
 * Each line a row `[…]` or `{"input", "budget", "id"}`. What is wrong with one is that line's fault, never another's:
 * nothing is thrown.
 */
export function readLines(group: LineGroup, reading: LineReading): Lines {
  const { bytes, firstLine, tooLong } = group;
  const { width } = reading;
  // A row of so many numbers takes two bytes for each at least: blank lines are not set memory aside for.
  const data = new Float32Array(Math.min(group.lines, Math.floor(bytes.length / (2 * width))) * width);
  const lines: Line[] = [];
  let count = 0;
  let line = firstLine;
  for (let from = 0; from < bytes.length; line++) {
    const end = bytes.indexOf(NEWLINE, from);
    const text = bytes.subarray(from, end);
    from = end + 1;
    if (tooLong.includes(line)) {
      const message = `The line is over ${reading.maxLine} bytes.`;
      lines.push({ line, fault: { code: "PURSUIT_BODY_TOO_LARGE", message } });
    } else if (!isBlank(text)) {
      const read = readLine(text, width, data.subarray(count * width));
      lines.push({ line, ...read });
      if (read.fault === undefined) count++;
    }
  }
  return { rows: { data: data.subarray(0, count * width), count, width }, lines };
}

const isBlank = (text: Uint8Array): boolean => text.every((byte) => byte === 0x20 || byte === 0x0d || byte === 0x09);

function readLine(text: Uint8Array, width: number, into: Float32Array): Omit<Line, "line"> {
  let id: string | number | undefined;
  try {
    const posted = parseJsonLine(text, lineExtent(width));
    if (Array.isArray(posted) || posted instanceof NumberRows) {
      readRow(posted, width, into, "The row");
      return {};
    }
    if (typeof posted !== "object" || posted === null)
      throw invalid(`A line is a row […] or {"input", "budget", "id"}; this one is ${describe(posted)}.`);
    const { input, budget, ...rest } = posted as Record<string, unknown>;
    id = readId(rest["id"]);
    const unknown = Object.keys(rest).find((key) => !FIELDS.has(key));
    if (unknown !== undefined) throw invalid(`A line has no field ${named(unknown)}; it takes input, budget and id.`);
    readRow(input, width, into, "input");
    const own = budget === undefined ? {} : { budget: readBudget(budget) };
    return { ...(id !== undefined && { id }), ...own };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return { ...(id !== undefined && { id }), fault: { code: error.code, message: error.message } };
  }
}

function readId(id: unknown): string | number | undefined {
  if (id === undefined || typeof id === "number") return id;
  if (typeof id === "string" && id.length <= MAX_ID) return id;
  throw invalid(`id must be a number, or text of at most ${MAX_ID} characters; it is ${describe(id)}.`);
}

function readRow(posted: unknown, width: number, into: Float32Array, name: string): void {
  const row = posted instanceof NumberRows ? posted.data : posted;
  if (!Array.isArray(row) && !(row instanceof Float32Array))
    throw invalid(`${name} must be a list of numbers; it is ${describe(row)}.`);
  if (row.length !== width) {
    const message = `${name} is ${row.length} wide; this dictionary takes rows of ${width}. Check the model, layer and hook.`;
    throw new WireError("PURSUIT_WRONG_WIDTH", message);
  }
  for (let column = 0; column < width; column++) {
    const value: unknown = row[column];
    if (typeof value !== "number") throw invalid(`${name}[${column}] must be a number; it is ${describe(value)}.`);
    into[column] = value;
    if (!Number.isFinite(into[column])) {
      throw new WireError("PURSUIT_NOT_FINITE", `${name}, column ${column} is ${value}; it must be a finite float32.`);
    }
  }
}

/** Its form; whether it is in the dictionary's range is the engine's to say. */
function readBudget(posted: unknown): LineBudget {
  if (typeof posted !== "object" || posted === null || Array.isArray(posted))
    throw invalid(`budget must be an object; it is ${describe(posted)}.`);
  for (const [name, value] of Object.entries(posted)) {
    if (!BUDGET_FIELDS.has(name)) {
      throw invalid(`A line's budget has no field ${named(name)}; it takes ${[...BUDGET_FIELDS].join(", ")}.`);
    }
    if (typeof value !== "number") throw invalid(`budget.${name} must be a number; it is ${describe(value)}.`);
  }
  return posted as LineBudget;
}
