import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { webAssemblyFits } from "../../engine/core/process-limits.ts";

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly numbers: (at: number, end: number, out: number) => number;
}

/** Bytes of one list of numbers at most; one of so many bytes holds no more than half as many numbers. */
const MAX_TEXT = 1 << 20;

/** Where a text and its numbers lie in the kernel's memory, which ends at 50 pages (asconfig.json). */
const TEXT = 1 << 16;
const NUMBERS = 2 * TEXT + MAX_TEXT;

/** Of this thread; null where there is no room for it, undefined before it was asked for. */
let ofThread: NumberKernel | null | undefined;

/** Reads lists of JSON numbers as float32: assembly/numbers.ts. Each thread has one. */
export class NumberKernel {
  readonly #numbers: Exports["numbers"];
  readonly #bytes: Uint8Array;
  readonly #floats: Float32Array;

  /**
   * This thread's kernel, made at the first call; null where the address space is too small for it (`ulimit -v`): read the
   * text as any other JSON then.
   */
  static ofThread(): NumberKernel | null {
    if (ofThread === undefined) ofThread = webAssemblyFits() ? new NumberKernel() : null;
    return ofThread;
  }

  /** @throws Error when it was not built ("npm run build") */
  constructor() {
    // Built from assembly/ into dist/wire, wherever this file itself runs from.
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
   * @returns them until the next call, or null where anything else stands there, the list is too long, or a number lies so
   *   close between two of float32 that only its exact value could tell, or beyond all of them
   */
  read(text: Uint8Array): Float32Array | null {
    if (text.length > MAX_TEXT) return null;
    this.#bytes.set(text, TEXT);
    const count = this.#numbers(TEXT, TEXT + text.length, NUMBERS);
    return count < 0 ? null : this.#floats.subarray(NUMBERS / 4, NUMBERS / 4 + count);
  }
}
