import { MAX_EDITS } from "../engine/core/edits.ts";
import { type BodyLimits, invalid, named, WireError } from "./codec-error.ts";

/** Limits on the contents of one body. They are counted in its bytes, before anything is parsed. */
export interface Extent {
  /** Nesting of lists and objects. */
  readonly depth: number;
  /** Lists and objects directly in a field's list: rows, codes, budgets, edits. */
  readonly rows: number;
  /** Lists and objects in total. */
  readonly containers: number;
  /** Entries of lists and objects in total. */
  readonly values: number;
  /** Texts in total, keys included. */
  readonly texts: number;
  /** Bytes of memory of all of these once parsed. */
  readonly memory: number;
  /** Entries of all fields except rows and codes: the main thread copies and checks them. */
  readonly fields: number;
}

/**
 * Bytes that V8 uses for an empty list or object, an entry, a text beside its letters, and a key. A number takes 32
 * while JSON.parse builds its list (the number, a handle and its slot): with 16 a process was killed at 1 GiB.
 */
const CONTAINER_BYTES = 80;
const VALUE_BYTES = 32;
const TEXT_BYTES = 32;
const KEY_BYTES = 64;

/** Lists and objects around a row, a code or an edit: the body, and the field's list. */
const ROW_DEPTH = 2;

/** Maximum names in one object. Beyond a thousand each costs V8 a microsecond, and no object of the API has thirty. */
const MAX_NAMES = 64;

/** Counts a body's contents while its bytes are walked, and stops the walk at the first limit. */
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

  /** @param what subject of the error, such as "The body" */
  constructor(extent: Extent, what: string) {
    this.#extent = extent;
    this.#what = what;
  }

  /**
   * Counts a list or object, with its entries and keys if their number is known beforehand.
   * @param depth lists and objects around it
   * @param at its position, for the error
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

  /**
   * Counts the letters of a body that is decoded to one text before parsing. @throws WireError PURSUIT_BODY_TOO_LARGE
   */
  letters(bytes: number): void {
    this.#letters += bytes;
    this.check();
  }

  /** Counts a view of binary data, which is an object too. @throws WireError PURSUIT_BODY_TOO_LARGE */
  view(): void {
    this.#containers++;
    this.check();
  }

  /** Counts a text. @throws WireError PURSUIT_BODY_TOO_LARGE, up to some texts late: {@link check} is exact */
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
   * Counts a key, which is a text too. A feature's number is no name: V8 stores it like a list entry.
   * @param depth lists and objects around it
   * @param from start of its letters in the body; `to`: end
   * @throws WireError PURSUIT_INVALID_FIELD, PURSUIT_BODY_TOO_LARGE
   */
  key(depth: number, bytes: Uint8Array, from: number, to: number): void {
    this.#keys++;
    this.text();
    if (isNumber(bytes, from, to) || (this.#names[depth - 1]! += 1) <= MAX_NAMES) return;
    throw invalid(`${this.#what} holds an object of over ${MAX_NAMES} fields, at byte ${from}; none has as many.`);
  }

  /** Whether that many more entries could exceed a limit. */
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

/** Digits without a leading zero, at most as many as a feature's number has. */
function isNumber(bytes: Uint8Array, from: number, to: number): boolean {
  if (to === from || to - from > 9 || (bytes[from] === ZERO && to - from > 1)) return false;
  for (let i = from; i < to; i++) if (bytes[i]! < ZERO || bytes[i]! > NINE) return false;
  return true;
}

const [ZERO, NINE] = [0x30, 0x39];

/**
 * Entries beyond those of rows or edits, so that errors can name the field that holds too much; also rows named by
 * edits.
 */
const SPARE = 1 << 16;
const SPARE_VALUES = 1 << 21;
const SPARE_ROWS = 1 << 14;

/** Entries of a budget, including its own slot in a list. */
const BUDGET_VALUES = 6;

/** Lists, objects and entries of an edit, without its vector and its rows. */
const EDIT_CONTAINERS = 4;
const EDIT_VALUES = 16;

/** Lists, objects and views of a code in MessagePack with everything included. */
const CODE_CONTAINERS = 24;

/** Nesting of rows [batch, seq, d] is 4; of codes whose traces hold {data, dtype, shape} 6. */
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

/** A body of codes. Their entries, traces and labels are limited by memory only. */
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

/** An inference request with flat or nested rows: request, `inputs`, an input, its `data`, a row. */
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

/** Sum of both limits. */
export const together = (a: Extent, b: Extent): Extent => ({
  depth: Math.max(a.depth, b.depth),
  rows: Math.max(a.rows, b.rows),
  containers: a.containers + b.containers,
  values: a.values + b.values,
  texts: a.texts + b.texts,
  memory: Math.min(a.memory, b.memory),
  fields: a.fields + b.fields,
});

/** The same contents inside one more object. */
export const deeper = (extent: Extent): Extent => ({ ...extent, depth: extent.depth + 1 });

/** Letters of a text that count as one entry. */
const LETTERS = 64;

/**
 * Limits the size of a request's fields, whatever they mean.
 * @param most entries in total
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
