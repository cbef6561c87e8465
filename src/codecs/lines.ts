import type { RequestEncoder } from "../engine/core/dictionary.ts";
import type { Rows } from "../engine/core/rows.ts";
import { NumberRows } from "./numbers/number-rows.ts";
import { lineExtent } from "./extent.ts";
import { parseJsonLine } from "./parse-json.ts";
import { describe, invalid, named, WireError, type WireFault } from "./codec-error.ts";
import { readEncoder } from "./read-encoder.ts";
import type { SparseCodes } from "../engine/core/sparse-codes.ts";
import { codeWriter, outputOf, type RowHead } from "./write-codes.ts";

export interface LineReading {
  /** Row length of the dictionary. */
  readonly width: number;
  /** Maximum bytes of one line. */
  readonly maxLine: number;
}

/** A line's own budget, in the API's names. */
type LineBudget = Readonly<Record<string, number>>;

/** A line that is not blank: a row, or the error in its place. */
export interface Line {
  /** Counted from 1, blank lines included. */
  readonly line: number;
  /** The client's name for it. */
  readonly id?: string | number;
  readonly budget?: LineBudget;
  readonly encoder?: RequestEncoder | "own";
  readonly fault?: WireFault;
}

/** A parsed group of lines. The rows are those of the lines without an error, in order. */
export interface Lines {
  readonly rows: Rows;
  readonly lines: readonly Line[];
}

/** Maximum length of a line's id, which its answer echoes. */
const MAX_ID = 256;
const FIELDS = new Set(["input", "budget", "encoder", "id"]);
const BUDGET_FIELDS = new Set(["max_atoms", "tolerance", "residual_norm", "min_gain", "group"]);
const NEWLINE = 0x0a;

/**
 * Reads lines, each a row `[…]` or `{"input", "budget", "encoder", "id"}`. An error in one line affects only that line:
 * nothing is thrown.
 */
export function readLines(group: LineGroup, reading: LineReading): Lines {
  const { bytes, firstLine, tooLong } = group;
  const { width } = reading;
  // A row takes at least two bytes per number, so blank lines allocate nothing.
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
      throw invalid(`A line is a row […] or {"input", "budget", "encoder", "id"}; this one is ${describe(posted)}.`);
    const { input, budget, encoder, ...rest } = posted as Record<string, unknown>;
    id = readId(rest["id"]);
    const unknown = Object.keys(rest).find((key) => !FIELDS.has(key));
    if (unknown !== undefined)
      throw invalid(`A line has no field ${named(unknown)}; it takes input, budget, encoder and id.`);
    readRow(input, width, into, "input");
    return {
      ...(id !== undefined && { id }),
      ...(budget !== undefined && { budget: readBudget(budget) }),
      ...(encoder !== undefined && { encoder: readEncoder(encoder) ?? ("own" as const) }),
    };
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

/** Checks the form only; the engine checks the range. */
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

/** Bytes of a line's object beside its text. */
const PER_LINE = 128;

/** Consecutive lines, without their line ends, joined by newlines. */
export interface LineGroup {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Number of the first line, counted from 1. */
  readonly firstLine: number;
  readonly lines: number;
  /** Numbers of lines over the limit: dropped on arrival, and empty here. */
  readonly tooLong: readonly number[];
}

interface LineLimits {
  /** Maximum bytes of one line. */
  readonly maxLine: number;
  /** Bytes and lines at which a group is full. */
  readonly groupBytes: number;
  readonly groupLines: number;
}

/** Cuts chunks into groups of whole lines. Holds at most a group and a line, whatever is pushed between two takes. */
export class LineSplitter {
  readonly #limits: LineLimits;
  /** Whole lines to be taken, views of their chunks. */
  #lines: Uint8Array[] = [];
  #bytes = 0;
  #tooLong: number[] = [];
  /** The beginning of an unfinished line. */
  #partial: Uint8Array[] = [];
  #partialBytes = 0;
  #skipping = false;
  #taken = 0;

  constructor(limits: LineLimits) {
    this.#limits = limits;
  }

  /** Number of lines to be taken. */
  get pending(): number {
    return this.#lines.length;
  }

  /** Approximate bytes of memory held. */
  get heldBytes(): number {
    return this.#bytes + this.#partialBytes + PER_LINE * (this.#lines.length + this.#partial.length);
  }

  get full(): boolean {
    return this.#bytes >= this.#limits.groupBytes || this.#lines.length >= this.#limits.groupLines;
  }

  push(chunk: Uint8Array): void {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      this.#extend(chunk.subarray(from, end));
      this.#close();
      from = end + 1;
    }
    if (from < chunk.length) this.#extend(chunk.subarray(from));
  }

  /** Ends the input: an unfinished line counts as a line. */
  end(): void {
    if (this.#partialBytes > 0 || this.#skipping) this.#close();
  }

  /** Takes the waiting lines, up to a full group; null if there are none. */
  take(): LineGroup | null {
    const { groupBytes, groupLines } = this.#limits;
    let count = 0;
    let length = 0;
    while (count < this.#lines.length && count < groupLines && length < groupBytes) {
      length += this.#lines[count]!.length + 1;
      count++;
    }
    if (count === 0) return null;
    const lines = this.#lines.splice(0, count);
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const line of lines) {
      bytes.set(line, at);
      at += line.length;
      bytes[at++] = NEWLINE;
    }
    this.#bytes -= length - count;
    const firstLine = this.#taken + 1;
    this.#taken += count;
    const last = this.#taken;
    const tooLong = this.#tooLong.filter((line) => line <= last);
    this.#tooLong = this.#tooLong.filter((line) => line > last);
    return { bytes, firstLine, lines: count, tooLong };
  }

  #extend(part: Uint8Array): void {
    if (this.#skipping) return;
    this.#partial.push(part);
    this.#partialBytes += part.length;
    if (this.#partialBytes <= this.#limits.maxLine) return;
    this.#skipping = true;
    this.#partial = [];
    this.#partialBytes = 0;
  }

  #close(): void {
    const line = this.#partial.length === 1 ? this.#partial[0]! : Buffer.concat(this.#partial);
    if (this.#skipping) this.#tooLong.push(this.#taken + this.#lines.length + 1);
    this.#lines.push(line);
    this.#bytes += line.length;
    this.#partial = [];
    this.#partialBytes = 0;
    this.#skipping = false;
  }
}

/**
 * Writes codes as lines of JSON, one per row.
 * @throws WireError PURSUIT_INVALID_FIELD for csr, which has no separate rows
 */
export function writeCodeLines(codes: SparseCodes, head: RowHead): string {
  const write = codeWriter(codes, { ...head, format: rowFormat(head) });
  let text = "";
  for (let i = 0; i < codes.count; i++) text += `${JSON.stringify(Object.assign(write(i), encoderOf(head)))}\n`;
  return text;
}

/** Each line is a complete answer, so each names its encoder. */
const encoderOf = ({ encoder }: RowHead): object => (encoder === undefined ? {} : { encoder });

/** The answer to a line: its code, or its problem. */
export interface AnswerLine {
  readonly line: number;
  readonly id?: string | number;
  readonly error?: object;
}

/** Writes the answers to lines in order; the codes are those of the lines without an error. */
export function writeAnswerLines(codes: SparseCodes | null, head: RowHead, lines: readonly AnswerLine[]): string {
  const write = codes && codeWriter(codes, { ...head, format: rowFormat(head) });
  let text = "";
  let row = 0;
  for (const { line, id, error } of lines) {
    const labelled = id === undefined ? {} : { id };
    const answer = error ? { ...labelled, error, line } : Object.assign(labelled, write!(row++), encoderOf(head));
    text += `${JSON.stringify(answer)}\n`;
  }
  return text;
}

/** @throws WireError PURSUIT_INVALID_FIELD */
export function rowFormat({ format }: Pick<RowHead, "format">): Exclude<RowHead["format"], "csr"> {
  if (format !== "csr") return format;
  throw new WireError("PURSUIT_INVALID_FIELD", 'format "csr" holds all rows at once; lines are sparse, dense or map.');
}

/** Rows as lines of JSON. */
export function writeRowLines({ data, count, width, layers }: Rows): string {
  let text = "";
  for (let i = 0; i < count; i++)
    text += `${JSON.stringify(outputOf(data.subarray(i * width, (i + 1) * width), layers))}\n`;
  return text;
}
