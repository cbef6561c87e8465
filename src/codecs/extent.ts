import { MAX_EDITS } from "../engine/core/edits.ts";
import { type BodyLimits, invalid, named, WireError } from "./codec-error.ts";

/** What one body may hold at most. It is counted in the body's bytes, before anything is made of them. */
export interface Extent {
  /** Lists and objects inside one another. */
  readonly depth: number;
  /** Lists and objects in a list that is a field: rows, codes, budgets, edits. */
  readonly rows: number;
  /** Lists and objects in all. */
  readonly containers: number;
  /** Entries of lists and objects in all. */
  readonly values: number;
  /** Texts in all, keys included. */
  readonly texts: number;
  /** Bytes of memory that all of these may take once they are read. */
  readonly memory: number;
  /** Entries of all fields but the rows or codes: the main thread takes them over and checks them. */
  readonly fields: number;
}

/**
 * Bytes that V8 spends on an empty list or object, on an entry, on a text beside its letters, and on a key. An entry that is
 * a number takes 32 while JSON.parse makes its list: the number, a handle and its place. Killed at 1 GiB where 16 were counted.
 */
const CONTAINER_BYTES = 80;
const VALUE_BYTES = 32;
const TEXT_BYTES = 32;
const KEY_BYTES = 64;

/** Lists and objects around a row, a code or an edit: the body, and the field's list. */
const ROW_DEPTH = 2;

/** Names in one object at most: each of a thousand others takes V8 a microsecond, and no object of the API has thirty. */
const MAX_NAMES = 64;

/** Counts what a body holds while its bytes are walked, and stops the walk at the first limit. */
export class Measure {
  readonly #extent: Extent;
  readonly #what: string;
  #rows = 0;
  #containers = 0;
  #values = 0;
  #texts = 0;
  #keys = 0;
  #letters = 0;
  /** Names so far in the object at each depth. */
  readonly #names: number[] = [];

  /** @param what the error's subject, such as "The body" */
  constructor(extent: Extent, what: string) {
    this.#extent = extent;
    this.#what = what;
  }

  /**
   * A list or object, with its entries and keys where their number is known beforehand.
   * @param depth lists and objects around it
   * @param at its place, for the error
   * @throws WireError PURSUIT_TOO_DEEP, PURSUIT_BODY_TOO_LARGE
   */
  container(depth: number, at: number, entries = 0): void {
    const { depth: most } = this.#extent;
    if (depth >= most) {
      const message = `${this.#what} nests deeper than ${most} objects and arrays at byte ${at}.`;
      throw new WireError("PURSUIT_TOO_DEEP", message);
    }
    this.#containers++;
    this.#names[depth] = 0;
    if (depth === ROW_DEPTH - 1) this.#rows = 0;
    else if (depth === ROW_DEPTH && ++this.#rows > this.#extent.rows) throw this.#tooMany(this.#extent.rows, "rows");
    this.entries(entries);
  }

  /** Bytes of letters, where the body becomes one text before it is read. @throws WireError PURSUIT_BODY_TOO_LARGE */
  letters(bytes: number): void {
    this.#letters += bytes;
    this.check();
  }

  /** A view of binary data: an object too. @throws WireError PURSUIT_BODY_TOO_LARGE */
  view(): void {
    this.#containers++;
    this.check();
  }

  /** @throws WireError PURSUIT_BODY_TOO_LARGE, some texts late: {@link check} has the last word. */
  text(): void {
    this.#texts++;
    if ((this.#texts & 0xfff) === 0) this.check();
  }

  /** @throws WireError PURSUIT_BODY_TOO_LARGE */
  entries(count: number): void {
    this.#values += count;
    this.check();
  }

  /**
   * A key, which is a text too. A feature's number is no name: V8 keeps it as it does an entry of a list.
   * @param depth lists and objects around it
   * @param from its letters in the body, to `to`
   * @throws WireError PURSUIT_INVALID_FIELD, PURSUIT_BODY_TOO_LARGE
   */
  key(depth: number, bytes: Uint8Array, from: number, to: number): void {
    this.#keys++;
    this.text();
    if (isNumber(bytes, from, to) || (this.#names[depth - 1]! += 1) <= MAX_NAMES) return;
    throw invalid(`${this.#what} holds an object of over ${MAX_NAMES} fields, at byte ${from}; none has as many.`);
  }

  /** Whether so many more entries could be too many. */
  couldHold(more: number): boolean {
    const { values, memory } = this.#extent;
    return this.#values + more <= values && this.#memory() + more * VALUE_BYTES <= memory;
  }

  /** @throws WireError PURSUIT_BODY_TOO_LARGE */
  check(): void {
    const { containers, values, texts, memory } = this.#extent;
    if (this.#containers > containers) throw this.#tooMany(containers, "lists and objects");
    if (this.#values > values) throw this.#tooMany(values, "values");
    if (this.#texts > texts) throw this.#tooMany(texts, "texts");
    if (this.#memory() <= memory) return;
    const message = `${this.#what} takes over ${memory} bytes of memory to read (PURSUIT_MAX_UNPACKED). Send the rows in parts, or as binary data.`;
    throw new WireError("PURSUIT_BODY_TOO_LARGE", message);
  }

  #memory(): number {
    return (
      this.#containers * CONTAINER_BYTES +
      this.#values * VALUE_BYTES +
      this.#texts * TEXT_BYTES +
      this.#keys * KEY_BYTES +
      this.#letters
    );
  }

  #tooMany(most: number, things: string): WireError {
    const message = `${this.#what} holds over ${most} ${things}, more than any request to this path needs. Send the rows in parts.`;
    return new WireError(things === "rows" ? "PURSUIT_TOO_MANY_ROWS" : "PURSUIT_BODY_TOO_LARGE", message);
  }
}

/** Digits without a leading zero, no more than fit a feature's number. */
function isNumber(bytes: Uint8Array, from: number, to: number): boolean {
  if (to === from || to - from > 9 || (bytes[from] === ZERO && to - from > 1)) return false;
  for (let i = from; i < to; i++) if (bytes[i]! < ZERO || bytes[i]! > NINE) return false;
  return true;
}

const [ZERO, NINE] = [0x30, 0x39];

/** Room beside what is counted by rows or edits, so that errors may name the field that holds too much; also rows that edits name. */
const SPARE = 1 << 16;
const SPARE_VALUES = 1 << 21;
const SPARE_ROWS = 1 << 14;

/** Entries of a budget, its own place in a list included. */
const BUDGET_VALUES = 6;

/** Lists, objects and entries of an edit, without its vector and its rows. */
const EDIT_CONTAINERS = 4;
const EDIT_VALUES = 16;

/** Lists, objects and views of a code as MessagePack answers it with all that may be included. */
const CODE_CONTAINERS = 24;

/** Objects and arrays inside one another: rows [batch, seq, d] are 4 deep, codes whose traces hold {data, dtype, shape} 6. */
const ROWS_DEPTH = 4;
const CODES_DEPTH = 6;
const TENSORS_DEPTH = 5;

/** A body of rows and budgets. @param d null: not known yet */
export const rowsExtent = ({ maxRows, maxUnpacked }: BodyLimits, d: number | null): Extent => ({
  depth: ROWS_DEPTH,
  rows: maxRows * 2 + SPARE_ROWS,
  // A list for a row, one for a batch around it, and a budget.
  containers: maxRows * 3 + SPARE,
  values: d === null ? Infinity : maxRows * (d + 2 + BUDGET_VALUES) + SPARE_VALUES,
  texts: maxRows * BUDGET_VALUES + SPARE,
  memory: maxUnpacked,
  fields: maxRows * BUDGET_VALUES + SPARE,
});

/** A body of edits. @param d null: not known yet */
export function editsExtent({ maxUnpacked }: BodyLimits, d: number | null): Extent {
  const values = d === null ? Infinity : MAX_EDITS * (d + EDIT_VALUES) + SPARE_VALUES;
  return {
    depth: ROWS_DEPTH,
    rows: SPARE_ROWS,
    containers: MAX_EDITS * EDIT_CONTAINERS + SPARE,
    values,
    texts: MAX_EDITS * EDIT_VALUES + SPARE,
    memory: maxUnpacked,
    fields: values - SPARE_VALUES / 2,
  };
}

/** A body of codes. Their entries, traces and labels have no number of their own: the memory is their limit. */
export const codesExtent = ({ maxRows, maxUnpacked }: BodyLimits): Extent => ({
  depth: CODES_DEPTH,
  rows: maxRows * 2 + SPARE_ROWS,
  containers: maxRows * CODE_CONTAINERS + SPARE,
  values: Infinity,
  texts: Infinity,
  memory: maxUnpacked,
  fields: SPARE,
});

/** One line: a row, its budget and its id. */
export const lineExtent = (d: number): Extent => ({ ...fieldsExtent(), values: d + SPARE_VALUES });

/** An inference request, whose rows are flat or nested; request, `inputs`, an input, its `data`, a row. */
export const tensorsExtent = ({ maxRows, maxUnpacked }: BodyLimits, d: number): Extent => ({
  ...fieldsExtent(),
  depth: TENSORS_DEPTH,
  containers: maxRows + SPARE,
  values: maxRows * (d + 1 + BUDGET_VALUES) + SPARE_VALUES,
  memory: maxUnpacked,
});

/** A body of few fields. */
export const fieldsExtent = (): Extent => ({
  depth: ROWS_DEPTH,
  rows: SPARE_ROWS,
  containers: SPARE,
  values: SPARE,
  texts: SPARE,
  memory: Infinity,
  fields: SPARE,
});

/** What one body may hold of both. */
export const together = (a: Extent, b: Extent): Extent => ({
  depth: Math.max(a.depth, b.depth),
  rows: Math.max(a.rows, b.rows),
  containers: a.containers + b.containers,
  values: a.values + b.values,
  texts: a.texts + b.texts,
  memory: Math.min(a.memory, b.memory),
  fields: a.fields + b.fields,
});

/** Letters of a text that weigh as much as an entry. */
const LETTERS = 64;

/**
 * Checks how much a request's fields hold, without looking at what they mean.
 * @param most entries in all
 * @throws WireError PURSUIT_INVALID_FIELD naming the field
 */
export function checkFields(fields: Readonly<Record<string, unknown>>, most: number): void {
  let left = most;
  const take = (value: unknown, field: string): void => {
    left--;
    if (typeof value === "string") left -= Math.floor(value.length / LETTERS);
    else if (value instanceof Uint8Array) throw invalid(`The field ${field} holds binary data; it takes none.`);
    else if (Array.isArray(value)) for (const one of value as unknown[]) take(one, field);
    else if (typeof value === "object" && value !== null) {
      for (const [key, one] of Object.entries(value)) {
        left -= Math.floor(key.length / LETTERS);
        take(one, field);
      }
    }
    if (left < 0) throw invalid(`The field ${field} holds more than any request needs; is its name misspelt?`);
  };
  for (const [name, value] of Object.entries(fields)) take(value, named(name));
}
