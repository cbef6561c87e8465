import { type RowLimits, WireError } from "./codec-error.ts";
import { type Extent, Measure } from "./extent.ts";
import { isAscii } from "node:buffer";
import { randomUUID } from "node:crypto";
import { findRow, findRows, type FoundRows } from "./numbers/number-rows.ts";

/**
 * Parses JSON of a request body.
 * @param extent limits, checked before parsing
 * @param what subject of the errors
 * @throws WireError PURSUIT_TOO_DEEP, PURSUIT_BODY_TOO_LARGE, PURSUIT_NAN_TOKEN, PURSUIT_MALFORMED_BODY
 */
export function parseJson(bytes: Uint8Array, extent: Extent, what = "The body"): unknown {
  measureJson(bytes, extent, what);
  const text = decodeUtf8(bytes, what);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw explain(text, error as Error, what);
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function decodeUtf8(bytes: Uint8Array, what: string): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new WireError("PURSUIT_MALFORMED_BODY", `${what} is not JSON: it is not UTF-8.`);
  }
}

const NAN_TOKEN = /(?:NaN|Infinity)\b/y;

/**
 * Finds the first NaN or Infinity token outside strings. By hand: a regular expression that also matches strings
 * backtracks over an unclosed string, once for each of its quotes and characters.
 */
function findNanToken(text: string): string | null {
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (character === '"') {
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === "\\") i++;
    } else if ((character === "N" || character === "I") && !/\w/.test(text[i - 1] ?? "")) {
      NAN_TOKEN.lastIndex = i;
      const [token] = NAN_TOKEN.exec(text) ?? [];
      if (token !== undefined) return text[i - 1] === "-" ? `-${token}` : token;
    }
  }
  return null;
}

function explain(text: string, error: Error, what: string): WireError {
  const token = findNanToken(text);
  if (token !== null) {
    const hint = "Python's json module writes it; clean the rows (numpy.nan_to_num) or drop them";
    return new WireError("PURSUIT_NAN_TOKEN", `${what} holds the token ${token}, which JSON does not have. ${hint}.`);
  }
  if (text.trim() === "") return new WireError("PURSUIT_MALFORMED_BODY", "The body is empty; send a JSON object.");
  const position = /at position (\d+)/.exec(error.message)?.[1];
  // V8 gives the position of most errors; for an unexpected token it quotes the text.
  const cut = position === undefined ? /end of JSON/.test(error.message) : Number(position) >= text.trimEnd().length;
  if (cut) {
    return new WireError(
      "PURSUIT_MALFORMED_BODY",
      `${what} is not JSON: it ends in the middle, after ${text.length} characters. Was it cut off?`,
    );
  }
  return new WireError("PURSUIT_MALFORMED_BODY", `${what} is not JSON: ${error.message}.`);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING = [0x5b, 0x7b] as const;
const CLOSING = [0x5d, 0x7d] as const;
const COMMA = 0x2c;
const COLON = 0x3a;

/** Bytes checked one by one before `indexOf`, whose call costs about as much. */
const NEAR = 64;

/** Bytes between two checks of the limits. */
const COUNTED_AT_ONCE = 1 << 16;

/**
 * Counts the contents of a JSON text before parsing: a text of brackets alone becomes a heap of lists a hundred times
 * its size.
 *
 * `indexOf` passes over numbers, most of a body of rows, many times as fast as a loop. A body without numbers is
 * checked byte by byte, so that no body can force one call per byte.
 *
 * @param what subject of the error, such as "The body"
 * @throws WireError PURSUIT_TOO_DEEP, PURSUIT_BODY_TOO_LARGE
 */
export function measureJson(bytes: Uint8Array, extent: Extent, what: string): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const measure = new Measure(extent, what);
  measure.letters(isAscii(buffer) ? buffer.length : buffer.length * 2);
  const next = new NextOf(buffer);
  let depth = 0;
  for (let i = next.from(0); i < buffer.length; i = next.from(i + 1)) {
    const byte = buffer[i]!;
    if (byte === QUOTE) {
      const end = endOfString(buffer, i + 1);
      if (isKey(buffer, end)) measure.key(depth, buffer, i + 1, end);
      else measure.text();
      i = end;
    } else if (byte === OPENING[0] || byte === OPENING[1]) measure.container(depth++, i);
    // More closing than opening brackets: not JSON, as the parser will report.
    else if (--depth < 0) return;
  }
  measure.check();
  // An entry takes at least two bytes, so only long bodies must be counted.
  if (!measure.couldHold(Math.ceil(buffer.length / 2))) countEntries(buffer, measure);
}

/** Whether a string that ends there is a key. */
function isKey(buffer: Buffer, end: number): boolean {
  for (let i = end + 1; ; i++) {
    const byte = buffer[i];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte === COLON;
  }
}

/** Counts commas, those in texts too. */
function countEntries(buffer: Buffer, measure: Measure): void {
  for (let from = 0; from < buffer.length; from += COUNTED_AT_ONCE) {
    const to = Math.min(from + COUNTED_AT_ONCE, buffer.length);
    let commas = 0;
    for (let i = from; i < to; i++) if (buffer[i] === COMMA) commas++;
    measure.entries(commas);
  }
}

/** Finds the next quote or bracket. */
class NextOf {
  readonly #buffer: Buffer;
  /** Next position of each byte, as far as searched. */
  readonly #places = [QUOTE, ...OPENING, ...CLOSING].map((byte) => ({ byte, at: -1 }));

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  /** Next position from `start`; the buffer's length if there is none. */
  from(start: number): number {
    const buffer = this.#buffer;
    const near = Math.min(start + NEAR, buffer.length);
    for (let i = start; i < near; i++) {
      const byte = buffer[i]!;
      if (byte === QUOTE || byte === OPENING[0] || byte === OPENING[1] || byte === CLOSING[0] || byte === CLOSING[1]) {
        return i;
      }
    }
    let first = buffer.length;
    for (const place of this.#places) {
      if (place.at < near) {
        const at = buffer.indexOf(place.byte, near);
        place.at = at < 0 ? buffer.length : at;
      }
      first = Math.min(first, place.at);
    }
    return first;
  }
}

/** Finds the closing quote of a string whose content begins at `start`; a backslash escapes the next character. */
function endOfString(buffer: Buffer, start: number): number {
  for (let i = start; ;) {
    for (const near = i + NEAR; i < near; i++) {
      if (i >= buffer.length || buffer[i] === QUOTE) return i;
      if (buffer[i] === BACKSLASH) i++;
    }
    const quote = buffer.indexOf(QUOTE, i);
    if (quote < 0) return buffer.length;
    let backslashes = 0;
    while (quote - backslashes > i && buffer[quote - backslashes - 1] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return quote;
    i = quote + 1;
  }
}

/** Stands for the rows in the rest of a body. Clients do not know it, so none can have written it. */
const STAND_IN = randomUUID();
const QUOTED = Buffer.from(JSON.stringify(STAND_IN));

/**
 * As {@link parseJson}, but rows of plain numbers at `inputs` become {@link NumberRows}, not lists.
 * @throws WireError as {@link parseJson}, and PURSUIT_TOO_MANY_ROWS
 */
export function parseJsonRows(bytes: Uint8Array, extent: Extent, limits: RowLimits): unknown {
  return parseAround(bytes, findRows(bytes, "inputs", limits), "inputs", extent) ?? parseJson(bytes, extent);
}

/**
 * As {@link parseJsonRows} for a line: its row is at `input` or is the line itself.
 * @throws WireError as {@link parseJson}, about the line
 */
export function parseJsonLine(bytes: Uint8Array, extent: Extent): unknown {
  return parseAround(bytes, findRow(bytes, "input"), "input", extent) ?? parseJson(bytes, extent, "The line");
}

/** Parses a text around its rows and puts them in; null if only the whole text can be parsed. */
function parseAround(bytes: Uint8Array, found: FoundRows | null, key: string, extent: Extent): unknown {
  if (found === null) return null;
  const { rows, from, to } = found;
  const rest = parseRest(Buffer.concat([bytes.subarray(0, from), QUOTED, bytes.subarray(to)]), extent);
  if (rest === STAND_IN) return rows;
  const fields = rest as Record<string, unknown> | null;
  // A later key of the same name would count.
  if (fields?.[key] !== STAND_IN) return null;
  fields[key] = rows;
  return fields;
}

/** Null if it is not JSON: the error must name the position in the whole text. */
function parseRest(bytes: Uint8Array, extent: Extent): unknown {
  try {
    return parseJson(bytes, extent);
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}
