import { createReadStream } from "node:fs";
import { extname } from "node:path";
import { createInterface } from "node:readline";
import { isObject } from "../engine/core/json-object.ts";
import { FormatError } from "../engine/dictionaries/formats/format-error.ts";
import { readJsonFile } from "../engine/dictionaries/formats/json-file.ts";

/** A list of texts is parsed as a whole; a file of lines may be of any size. */
const MAX_LIST_BYTES = 512 << 20;

/** Characters kept of a text. */
const MAX_TEXT = 300;

/**
 * Reads one text a row: `.json`, a list of texts; `.jsonl`, a text or {"text"} a line; any other ending, a line of text
 * a row.
 * @throws FormatError with the line that is none; the system's error when it cannot be read
 */
export async function* readTexts(path: string): AsyncGenerator<string> {
  const ending = extname(path).toLowerCase();
  if (ending === ".json") {
    const { value } = await readJsonFile(path, MAX_LIST_BYTES);
    if (!Array.isArray(value)) throw new FormatError(path, "is not a list of texts.");
    for (const [i, text] of value.entries()) yield textOf(text, path, `entry ${i}`);
    return;
  }
  let line = 0;
  for await (const text of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    line++;
    yield ending === ".jsonl" ? textOf(parsed(text, path, line), path, `line ${line}`) : text.slice(0, MAX_TEXT);
  }
}

function textOf(value: unknown, path: string, where: string): string {
  const text = isObject(value) ? value["text"] : value;
  if (typeof text === "string") return text.slice(0, MAX_TEXT);
  throw new FormatError(path, `${where} is neither a text nor an object with a text.`);
}

function parsed(text: string, path: string, line: number): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new FormatError(path, `line ${line} is not JSON.`);
  }
}

/**
 * Reads the class of each row, a line or list entry a row.
 * @returns the names, by falling number of rows, and the class of each row
 */
export async function readClasses(path: string): Promise<{ names: string[]; classOf: Uint32Array }> {
  const numbers = new Map<string, number>();
  const rows: number[] = [];
  const sizes: number[] = [];
  for await (const name of readTexts(path)) {
    let number = numbers.get(name);
    if (number === undefined) numbers.set(name, (number = sizes.push(0) - 1));
    sizes[number]!++;
    rows.push(number);
  }
  const order = [...sizes.keys()].sort((a, b) => sizes[b]! - sizes[a]! || a - b);
  const place = new Map(order.map((number, at) => [number, at]));
  const names = [...numbers.keys()];
  return {
    names: order.map((number) => names[number]!),
    classOf: Uint32Array.from(rows, (number) => place.get(number)!),
  };
}
