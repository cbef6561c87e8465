import { type RowLimits, tooManyRows } from "../codec-error.ts";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { webAssemblyFits } from "../../engine/core/process-limits.ts";

/** Position of rows of numbers, or of one row, in a JSON text. */
export interface FoundRows {
  readonly rows: NumberRows;
  /** Bytes [from, to) of the text, brackets included. */
  readonly from: number;
  readonly to: number;
}

/** Rows as float32 in their posted shape, [n, d], [batch, seq, d] or [d]: all of one width, none empty. */
export class NumberRows {
  readonly data: Float32Array;
  readonly shape: readonly number[];

  constructor(data: Float32Array, shape: readonly number[]) {
    this.data = data;
    this.shape = shape;
  }
}

/** Maximum bytes before the key: they are checked one by one. */
const NEAR = 4096;

const [QUOTE, BACKSLASH, COLON, COMMA] = [0x22, 0x5c, 0x3a, 0x2c];
const [OPENING_LIST, CLOSING_LIST, OPENING_OBJECT, CLOSING_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Finds rows of numbers at a key of a JSON object, so that most of a body need not become lists. Null if there are
 * none, or if they are not all plain numbers in rows of one width: then the whole text must be parsed as JSON, which
 * also reports the error. The text around the rows is not checked.
 * @throws WireError PURSUIT_TOO_MANY_ROWS at twice the allowed number of rows
 */
export function findRows(text: Uint8Array, key: string, limits: RowLimits): FoundRows | null {
  const buffer = bufferOf(text);
  const at = valueOf(buffer, key);
  return at === null ? null : (readerAt(buffer, at)?.read(key, limits) ?? null);
}

/** Finds one row: the list that is the whole text, or the one at that key of its object. */
export function findRow(text: Uint8Array, key: string): FoundRows | null {
  const buffer = bufferOf(text);
  const first = skipSpace(buffer, 0);
  const at = buffer[first] === OPENING_LIST ? first : valueOf(buffer, key);
  return at === null ? null : (readerAt(buffer, at)?.readOne() ?? null);
}

const bufferOf = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

function readerAt(buffer: Buffer, at: number): RowReader | null {
  const kernel = NumberKernel.ofThread();
  return kernel === null ? null : new RowReader(buffer, at, kernel);
}

/** Position of the value of a key in the text's object. */
function valueOf(buffer: Buffer, key: string): number | null {
  const quoted = `"${key}"`;
  const at = buffer.subarray(0, NEAR + quoted.length).indexOf(quoted, 0, "latin1");
  if (at < 0 || !isKeyOfObject(buffer, at)) return null;
  const colon = skipSpace(buffer, at + quoted.length);
  return buffer[colon] === COLON ? skipSpace(buffer, colon + 1) : null;
}

/** Whether the position is inside one object and nothing else. */
function isKeyOfObject(buffer: Buffer, at: number): boolean {
  let depth = 0;
  let i = skipSpace(buffer, 0);
  if (buffer[i] !== OPENING_OBJECT) return false;
  for (; i < at; i++) {
    const byte = buffer[i];
    if (byte === QUOTE) {
      for (i++; i < at && buffer[i] !== QUOTE; i++) if (buffer[i] === BACKSLASH) i++;
      if (i >= at) return false;
    } else if (byte === OPENING_OBJECT || byte === OPENING_LIST) depth++;
    else if (byte === CLOSING_OBJECT || byte === CLOSING_LIST) depth--;
  }
  return depth === 1;
}

function skipSpace(buffer: Buffer, at: number): number {
  for (; ; at++) {
    const byte = buffer[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
  }
}

/** Reads […], [[…], …] or [[[…], …], …] from the first bracket on. */
class RowReader {
  readonly #buffer: Buffer;
  readonly #from: number;
  readonly #kernel: NumberKernel;
  #at: number;
  #data: Float32Array | null = null;
  #rows = 0;
  #width = 0;

  constructor(buffer: Buffer, from: number, numbers: NumberKernel) {
    this.#buffer = buffer;
    this.#from = from;
    this.#at = from;
    this.#kernel = numbers;
  }

  read(key: string, { maxRows }: RowLimits): FoundRows | null {
    // Counts somewhat too many rows to the end, so that the error can give their number.
    const most = 2 * maxRows;
    const row = (): boolean => {
      if (this.#rows === most) throw tooManyRows(key, `over ${most}`, maxRows);
      return this.#row();
    };
    const outer: number[] = [];
    const nested = this.#isNested();
    const read = nested
      ? this.#list(() => {
          const before = this.#rows;
          if (!this.#list(row)) return false;
          outer.push(this.#rows - before);
          return this.#rows - before === outer[0];
        })
      : this.#list(row);
    if (!read || this.#data === null) return null;
    const data = this.#data.subarray(0, this.#rows * this.#width);
    const leading = nested ? [outer.length, outer[0]!] : [this.#rows];
    return { rows: new NumberRows(data, [...leading, this.#width]), from: this.#from, to: this.#at };
  }

  readOne(): FoundRows | null {
    if (!this.#row()) return null;
    return {
      rows: new NumberRows(this.#data!.subarray(0, this.#width), [this.#width]),
      from: this.#from,
      to: this.#at,
    };
  }

  #isNested(): boolean {
    const first = skipSpace(this.#buffer, this.#from + 1);
    return this.#buffer[skipSpace(this.#buffer, first + 1)] === OPENING_LIST;
  }

  /** Reads a list of one or more items by `item`. */
  #list(item: () => boolean): boolean {
    if (!this.#take(OPENING_LIST)) return false;
    do if (!item()) return false;
    while (this.#take(COMMA));
    return this.#take(CLOSING_LIST);
  }

  /** Reads a list of as many numbers as the first row has. */
  #row(): boolean {
    if (!this.#take(OPENING_LIST)) return false;
    const end = this.#buffer.indexOf(CLOSING_LIST, this.#at);
    if (end < 0) return false;
    const numbers = this.#kernel.read(this.#buffer.subarray(this.#at, end));
    if (numbers === null || numbers.length === 0) return false;
    if (this.#data === null) {
      this.#width = numbers.length;
      // Memory for as many rows as the text suggests if all are equally long; it grows if they are not.
      const rows = Math.ceil((this.#buffer.length - this.#from) / (end - this.#at + 2));
      this.#data = new Float32Array(rows * this.#width);
    }
    if (numbers.length !== this.#width) return false;
    const place = this.#rows++ * this.#width;
    if (place + this.#width > this.#data.length) {
      const wider = new Float32Array(this.#data.length * 2);
      wider.set(this.#data);
      this.#data = wider;
    }
    this.#data.set(numbers, place);
    this.#at = end + 1;
    return true;
  }

  #take(byte: number): boolean {
    const at = skipSpace(this.#buffer, this.#at);
    if (this.#buffer[at] !== byte) return false;
    this.#at = at + 1;
    return true;
  }
}

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly numbers: (at: number, end: number, out: number) => number;
}

/** Maximum bytes of one list of numbers, which then holds at most half as many numbers. */
const MAX_TEXT = 1 << 20;

/** Position of a text and its numbers in the kernel's memory, which ends at 50 pages (asconfig.json). */
const TEXT = 1 << 16;
const NUMBERS = 2 * TEXT + MAX_TEXT;

/** This thread's kernel; null if there is no room for it, undefined before the first call. */
let ofThread: NumberKernel | null | undefined;

/** Reads lists of JSON numbers as float32 (assembly/numbers.ts). Each thread has one. */
export class NumberKernel {
  readonly #numbers: Exports["numbers"];
  readonly #bytes: Uint8Array;
  readonly #floats: Float32Array;

  /**
   * Returns this thread's kernel, created at the first call; null if the address space is too small (`ulimit -v`): then
   * parse the text as JSON.
   */
  static ofThread(): NumberKernel | null {
    if (ofThread === undefined) ofThread = webAssemblyFits() ? new NumberKernel() : null;
    return ofThread;
  }

  /** @throws Error when it was not built ("npm run build") */
  constructor() {
    // Built from assembly/ into dist/wasm, wherever this file runs from.
    const file = createRequire(import.meta.url).resolve("#dist/wasm/numbers.wasm");
    const module = new WebAssembly.Module(readFileSync(file));
    const abort = (): never => {
      throw new Error("the number kernel aborted");
    };
    const exports = new WebAssembly.Instance(module, { env: { abort } }).exports as unknown as Exports;
    this.#numbers = exports.numbers;
    this.#bytes = new Uint8Array(exports.memory.buffer);
    this.#floats = new Float32Array(exports.memory.buffer);
  }

  /**
   * @param text numbers between commas, without brackets
   * @returns the numbers, valid until the next call; null if the text holds anything else, is too long, or has a number
   *   beyond float32 or too close to the middle between two float32 values
   */
  read(text: Uint8Array): Float32Array | null {
    if (text.length > MAX_TEXT) return null;
    this.#bytes.set(text, TEXT);
    const count = this.#numbers(TEXT, TEXT + text.length, NUMBERS);
    return count < 0 ? null : this.#floats.subarray(NUMBERS / 4, NUMBERS / 4 + count);
  }
}
