import { FormatError } from "./format-error.ts";

/**
 * Reads pickles of protocol 2 as data. Nothing is imported or called: globals are names, and the rules of the caller
 * decide which of them stand for a value. Opcodes beyond those that torch.save writes are refused by name.
 */

/** A state dict takes some 45 opcodes a tensor. Stack and memo cannot hold more than this either. */
export const MAX_OPCODES = 1_000_000;

/** Python's own modules and classes have far shorter names. */
const MAX_GLOBAL_BYTES = 256;

/** A tuple, apart from a list, since arguments and persistent ids must be tuples. */
export class PickleTuple {
  readonly items: readonly unknown[];

  constructor(items: readonly unknown[]) {
    this.items = items;
  }
}

/** Keys of a dict. */
export type PickleKey = string | number | bigint | boolean | null;

/**
 * Values are null, boolean, number, bigint (integers beyond 2^53), string, {@link PickleTuple}, arrays for lists, Map for
 * dicts, Set for sets, and those that the rules give. Each method throws an Error that says what is refused.
 */
export interface PickleRules {
  /** The value of a global, such as `collections.OrderedDict`. */
  global(name: string): unknown;
  /** The result of calling a value that `global` gave. */
  call(callable: unknown, args: readonly unknown[]): unknown;
  /** The value of a persistent id. */
  persistent(id: unknown): unknown;
  /** Applies a state to an object. */
  build(target: unknown, state: unknown): void;
}

/**
 * One pickle from the start of `bytes`.
 * @returns its value, and the position after its last byte
 * @throws FormatError that names the opcode or global that is refused, and the byte it stands at
 */
export function readPickle(
  file: string,
  bytes: Uint8Array,
  rules: PickleRules,
): { readonly value: unknown; readonly end: number } {
  const machine = new PickleMachine(bytes, rules);
  try {
    return machine.run();
  } catch (error) {
    if (error instanceof FormatError || !(error instanceof Error)) throw error;
    throw new FormatError(file, `its pickle ${error.message} (byte ${machine.opcodeAt}).`);
  }
}

const MARK = Symbol("mark");

class PickleMachine {
  /** Position of the opcode in work. */
  opcodeAt = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #rules: PickleRules;
  readonly #memo = new Map<number, unknown>();
  readonly #stack: unknown[] = [];
  #at = 0;

  constructor(bytes: Uint8Array, rules: PickleRules) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#rules = rules;
  }

  run(): { readonly value: unknown; readonly end: number } {
    for (let count = 0; count < MAX_OPCODES; count++) {
      this.opcodeAt = this.#at;
      const code = this.#byte();
      if (code === STOP) return { value: this.#pop(), end: this.#at };
      this.#step(code);
    }
    throw new Error(`has more than ${MAX_OPCODES} opcodes, which no state dict needs`);
  }

  #step(code: number): void {
    switch (code) {
      case 0x80: {
        const protocol = this.#byte();
        if (protocol !== 2)
          throw new Error(`is of protocol ${protocol}; save it without pickle_protocol, which gives 2`);
        return;
      }
      case 0x4e /* NONE */:
        return this.#push(null);
      case 0x88 /* NEWTRUE */:
        return this.#push(true);
      case 0x89 /* NEWFALSE */:
        return this.#push(false);
      case 0x4a /* BININT */:
        return this.#push(this.#view.getInt32(this.#take(4), true));
      case 0x4b /* BININT1 */:
        return this.#push(this.#byte());
      case 0x4d /* BININT2 */:
        return this.#push(this.#view.getUint16(this.#take(2), true));
      case 0x8a /* LONG1 */:
        return this.#push(this.#long(this.#byte()));
      case 0x47 /* BINFLOAT */:
        return this.#push(this.#view.getFloat64(this.#take(8), false));
      case 0x58 /* BINUNICODE */:
        return this.#push(this.#text(this.#view.getUint32(this.#take(4), true)));
      case 0x55 /* SHORT_BINSTRING */:
        return this.#push(this.#text(this.#byte()));
      case 0x28 /* MARK */:
        return this.#push(MARK);
      case 0x29 /* EMPTY_TUPLE */:
        return this.#push(new PickleTuple([]));
      case 0x85 /* TUPLE1 */:
      case 0x86 /* TUPLE2 */:
      case 0x87 /* TUPLE3 */:
        return this.#push(new PickleTuple(this.#popMany(code - 0x84)));
      case 0x74 /* TUPLE */:
        return this.#push(new PickleTuple(this.#popToMark()));
      case 0x5d /* EMPTY_LIST */:
        return this.#push([]);
      case 0x61 /* APPEND */: {
        const item = this.#pop();
        this.#list().push(item);
        return;
      }
      case 0x65 /* APPENDS */: {
        const items = this.#popToMark();
        const list = this.#list();
        for (const item of items) list.push(item);
        return;
      }
      case 0x8f /* EMPTY_SET */:
        return this.#push(new Set());
      case 0x7d /* EMPTY_DICT */:
        return this.#push(new Map());
      case 0x73 /* SETITEM */:
        return this.#setItems(this.#popMany(2));
      case 0x75 /* SETITEMS */:
        return this.#setItems(this.#popToMark());
      case 0x71 /* BINPUT */:
        this.#memo.set(this.#byte(), this.#top());
        return;
      case 0x72 /* LONG_BINPUT */:
        this.#memo.set(this.#view.getUint32(this.#take(4), true), this.#top());
        return;
      case 0x68 /* BINGET */:
        return this.#push(this.#remembered(this.#byte()));
      case 0x6a /* LONG_BINGET */:
        return this.#push(this.#remembered(this.#view.getUint32(this.#take(4), true)));
      case 0x63 /* GLOBAL */:
        return this.#push(this.#rules.global(`${this.#line()}.${this.#line()}`));
      case 0x51 /* BINPERSID */:
        return this.#push(this.#rules.persistent(this.#pop()));
      case 0x52 /* REDUCE */:
      case 0x81 /* NEWOBJ */: {
        const args = this.#pop();
        if (!(args instanceof PickleTuple)) throw new Error("calls something without a tuple of arguments");
        return this.#push(this.#rules.call(this.#pop(), args.items));
      }
      case 0x62 /* BUILD */: {
        const state = this.#pop();
        return this.#rules.build(this.#top(), state);
      }
      default: {
        const name = REFUSED_OPCODES[code];
        const shown = `0x${code.toString(16).padStart(2, "0")}`;
        if (name === undefined) throw new Error(`is damaged: ${shown} is not an opcode`);
        throw new Error(`uses the opcode ${name} (${shown}), which torch.save does not write and is not read`);
      }
    }
  }

  /** @returns where the next `length` bytes start */
  #take(length: number): number {
    const from = this.#at;
    if (length > this.#bytes.length - from) throw new Error(`ends after ${this.#bytes.length} bytes, before it should`);
    this.#at += length;
    return from;
  }

  #byte(): number {
    return this.#bytes[this.#take(1)]!;
  }

  #text(length: number): string {
    const from = this.#take(length);
    try {
      return UTF8.decode(this.#bytes.subarray(from, from + length));
    } catch {
      throw new Error("holds text that is not UTF-8");
    }
  }

  /** Text up to a line feed, which is dropped. */
  #line(): string {
    const end = this.#bytes.subarray(this.#at, this.#at + MAX_GLOBAL_BYTES).indexOf(0x0a);
    if (end < 0) throw new Error(`names a global without end, or of more than ${MAX_GLOBAL_BYTES} bytes`);
    const text = this.#text(end);
    this.#take(1);
    return text;
  }

  /** Little-endian two's complement. */
  #long(length: number): number | bigint {
    const from = this.#take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[from + i]!);
    value = BigInt.asIntN(8 * length, value);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  #push(value: unknown): void {
    this.#stack.push(value);
  }

  #top(): unknown {
    const top = this.#stack.at(-1);
    if (top === undefined || top === MARK) throw new Error("takes a value from an empty stack");
    return top;
  }

  #pop(): unknown {
    const top = this.#top();
    this.#stack.pop();
    return top;
  }

  #popMany(count: number): unknown[] {
    return Array.from({ length: count }, () => this.#pop()).toReversed();
  }

  #popToMark(): unknown[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) throw new Error("closes a list that it never opened");
    const items = this.#stack.splice(mark);
    return items.slice(1);
  }

  #list(): unknown[] {
    const top = this.#top();
    if (Array.isArray(top)) return top;
    throw new Error("appends to something that is not a list");
  }

  #setItems(items: readonly unknown[]): void {
    const dict = this.#top();
    if (!(dict instanceof Map)) throw new Error("sets an item of something that is not a dict");
    if (items.length % 2 !== 0) throw new Error("sets a key without a value");
    for (let i = 0; i < items.length; i += 2) dict.set(asKey(items[i]), items[i + 1]);
  }

  #remembered(index: number): unknown {
    const value = this.#memo.get(index);
    if (value === undefined) throw new Error(`recalls value ${index}, which it never stored`);
    return value;
  }
}

/** @throws Error for keys that JavaScript would not tell apart by value */
export function asKey(key: unknown): PickleKey {
  if (key === null || ["string", "number", "bigint", "boolean"].includes(typeof key)) return key as PickleKey;
  throw new Error("has a dict whose key is neither text nor a number");
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const STOP = 0x2e;

/** Opcodes that exist and are not read, for messages (CPython, Lib/pickle.py). */
const REFUSED_OPCODES: Readonly<Record<number, string>> = {
  0x30: "POP",
  0x31: "POP_MARK",
  0x32: "DUP",
  0x42: "BINBYTES",
  0x43: "SHORT_BINBYTES",
  0x46: "FLOAT",
  0x49: "INT",
  0x4c: "LONG",
  0x50: "PERSID",
  0x53: "STRING",
  0x54: "BINSTRING",
  0x56: "UNICODE",
  0x64: "DICT",
  0x67: "GET",
  0x69: "INST",
  0x6c: "LIST",
  0x6f: "OBJ",
  0x70: "PUT",
  0x82: "EXT1",
  0x83: "EXT2",
  0x84: "EXT4",
  0x8b: "LONG4",
  0x8c: "SHORT_BINUNICODE",
  0x8d: "BINUNICODE8",
  0x8e: "BINBYTES8",
  0x90: "ADDITEMS",
  0x91: "FROZENSET",
  0x92: "NEWOBJ_EX",
  0x93: "STACK_GLOBAL",
  0x94: "MEMOIZE",
  0x95: "FRAME",
  0x96: "BYTEARRAY8",
  0x97: "NEXT_BUFFER",
  0x98: "READONLY_BUFFER",
};
