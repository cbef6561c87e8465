import { randomUUID } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { basename } from "node:path";
import { FormatError } from "./format-error.ts";
import { refuseStandIn } from "./stand-in.ts";

/** A number that Python writes and JSON lacks, and its place in the file. */
export interface NonFinite {
  /** Names of the fields that lead to it, such as `["metadata", "ce_loss"]`. */
  readonly path: readonly string[];
  /** `metadata.ce_loss is NaN (line 1, column 95)` */
  readonly text: string;
}

export interface JsonText {
  /** As JSON.parse gives it; NaN and ±Infinity are numbers, as Python's json reads them. */
  readonly value: unknown;
  readonly nonFinite: readonly NonFinite[];
}

/** Objects and arrays inside one another at most: a manifest has 3, and JSON.stringify overflows at some thousands. */
const MAX_DEPTH = 64;

/** Larger texts are not searched for a token: it takes some 24 parses. */
const MAX_SEARCHED = 16 << 20;

const BOM = "\uFEFF";

/**
 * Reads a file as {@link parseJsonText} does.
 * @param name what messages call it
 * @throws FormatError also for what is no plain file, or over `maxBytes`; the system's error when it cannot be read
 */
export async function readJsonFile(path: string, maxBytes: number, name = basename(path)): Promise<JsonText> {
  const found = await stat(path);
  // A pipe would be waited for, and a device read for ever; of a folder the system says so itself.
  if (!found.isFile() && !found.isDirectory()) throw new FormatError(name, "is not a plain file.");
  if (found.size > maxBytes) throw new FormatError(name, `is ${found.size} bytes long, over ${maxBytes} bytes.`);
  return parseJsonText(name, await readFile(path));
}

/**
 * Reads JSON as Python and editors write it: a byte order mark is skipped, NaN and Infinity become numbers.
 * @throws FormatError that says what is wrong, at which line and column, and what to do
 */
export function parseJsonText(file: string, bytes: Uint8Array): JsonText {
  refuseStandIn(file, bytes);
  const text = decode(file, bytes);
  if (text.trim() === "") throw new FormatError(file, "is empty; a JSON object belongs there.");
  const { tokens, tooDeepAt } = scan(text);
  if (tooDeepAt !== null) {
    throw new FormatError(file, `nests deeper than ${MAX_DEPTH} objects and arrays at ${place(text, tooDeepAt)}.`);
  }
  if (tokens.length > 0) return parseAround(file, text, tokens);
  try {
    return { value: JSON.parse(text), nonFinite: [] };
  } catch (error) {
    throw explain(file, text, error as Error);
  }
}

function decode(file: string, bytes: Uint8Array): string {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    throw new FormatError(file, "is UTF-16; save it as UTF-8.");
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return text.startsWith(BOM) ? text.slice(1) : text;
  } catch {
    const before = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes).split("\uFFFD", 1)[0]!;
    throw new FormatError(file, `is not UTF-8 at ${place(before, before.length)}; save it as UTF-8.`);
  }
}

interface Token {
  readonly at: number;
  readonly text: string;
  readonly place: string;
}

const TOKEN = /-?(?:NaN|Infinity)\b/y;

/**
 * Finds NaN, Infinity and -Infinity outside of strings, and the first bracket over MAX_DEPTH. By hand: an expression
 * that also matches strings backtracks over a torn one.
 */
function scan(text: string): { readonly tokens: readonly Token[]; readonly tooDeepAt: number | null } {
  const tokens: Token[] = [];
  let depth = 0;
  let line = 1;
  let lineStart = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (character === '"') {
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === "\\") i++;
    } else if (character === "{" || character === "[") {
      if (++depth > MAX_DEPTH) return { tokens, tooDeepAt: i };
    } else if (character === "}" || character === "]") depth--;
    else if (character === "\n") {
      line++;
      lineStart = i + 1;
    } else if (character === "N" || character === "I" || character === "-") {
      TOKEN.lastIndex = i;
      const [token] = /\w/.test(text[i - 1] ?? "") ? [] : (TOKEN.exec(text) ?? []);
      if (token === undefined) continue;
      tokens.push({ at: i, text: token, place: `line ${line}, column ${i - lineStart + 1}` });
      i += token.length - 1;
    }
  }
  return { tokens, tooDeepAt: null };
}

/** Parses with each token as a string that no file can hold, then puts the numbers in their places. */
function parseAround(file: string, text: string, tokens: readonly Token[]): JsonText {
  const mark = randomUUID();
  let from = 0;
  const pieces = tokens.flatMap(({ at, text: token }, i) => {
    const before = text.slice(from, at);
    from = at + token.length;
    return [before, `"${mark}${i}"`];
  });
  const nonFinite: NonFinite[] = [];
  try {
    const value: unknown = JSON.parse(pieces.join("") + text.slice(from));
    const restore = (inner: unknown, path: readonly string[]): unknown => {
      if (typeof inner === "string" && inner.startsWith(mark)) {
        const token = tokens[Number(inner.slice(mark.length))]!;
        nonFinite.push({ path, text: `${path.join(".") || "it"} is ${token.text} (${token.place})` });
        return Number(token.text);
      }
      if (Array.isArray(inner)) return inner.map((item, i) => restore(item, [...path, String(i)]));
      if (typeof inner !== "object" || inner === null) return inner;
      return Object.fromEntries(Object.entries(inner).map(([key, item]) => [key, restore(item, [...path, key])]));
    };
    return { value: restore(value, []), nonFinite };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // Zeros of the same length leave every place as it is.
    let padded = "";
    let end = 0;
    for (const { at, text: token } of tokens) {
      padded += text.slice(end, at) + "0".padEnd(token.length);
      end = at + token.length;
    }
    throw explain(file, padded + text.slice(end), error);
  }
}

function explain(file: string, text: string, error: Error): FormatError {
  const end = text.trimEnd().length;
  const at = offsetOf(error, text.length) ?? (text.length > MAX_SEARCHED ? null : searchFault(text));
  if (at === null) return new FormatError(file, `is not JSON: ${error.message}.`);
  if (at >= end) return new FormatError(file, `is cut off: its JSON ends unfinished at ${place(text, end)}.`);
  const what = error.message.replace(/ (?:in JSON )?at position \d+.*$/s, "").replace(/, (?:\.\.\.)?".*$/s, "");
  return new FormatError(file, `is not JSON at ${place(text, at)}: ${what}.`);
}

/** Where V8 says that the fault is: at the end of a text that is cut off; null for an unexpected token. */
function offsetOf({ message }: Error, length: number): number | null {
  if (message.includes("end of JSON input")) return length;
  const position = /at position (\d+)/.exec(message)?.[1];
  return position === undefined ? null : Number(position);
}

/** The last character of the shortest beginning that is more than cut off. */
function searchFault(text: string): number {
  let whole = 0;
  let faulty = text.length;
  while (faulty - whole > 1) {
    const middle = (whole + faulty) >> 1;
    if (isFaulty(text.slice(0, middle))) faulty = middle;
    else whole = middle;
  }
  return whole;
}

function isFaulty(beginning: string): boolean {
  try {
    JSON.parse(beginning);
    return false;
  } catch (error) {
    return (offsetOf(error as Error, beginning.length) ?? -1) < beginning.trimEnd().length;
  }
}

/** Both counted from 1. */
function place(text: string, at: number): string {
  const before = text.slice(0, at).split("\n");
  return `line ${before.length}, column ${before.at(-1)!.length + 1}`;
}

/** A value of a file for a message, cut short. NaN is named, which JSON.stringify writes as null. */
export function shownJson(value: unknown): string {
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? "missing");
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
