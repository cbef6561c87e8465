import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { webAssemblyFits } from "../../core/process-limits.ts";

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer; readonly grow: (pages: number) => number };
  readonly spread: (rows: number, count: number, width: number, shift: number, sums: number) => number;
}

/** Where the sums begin; what the module keeps for itself lies before them. */
const SUMS = 1 << 10;
const PAGE = 1 << 16;

/** Bytes of rows that are gone through at once: they stay in a core's cache. */
const ROWS_BYTES = 1 << 18;

/** Adds up how far rows lie from one of them. */
export interface Spread {
  /**
   * Adds Σ(x − s) of each column to the sums [width], over whole rows of the shift's width.
   * @returns Σ(x − s)² over all of it; not finite exactly where a value of rows or shift is not
   */
  add(rows: Float32Array, shift: Float32Array, sums: Float64Array): number;
}

/** By the kernel; in JavaScript where the address space is too small for it (`ulimit -v`). */
export const createSpread = (): Spread => (webAssemblyFits() ? new SpreadKernel() : spreadInJavaScript);

export const spreadInJavaScript: Spread = {
  add(rows, shift, sums) {
    const { length: width } = shift;
    let squares = 0;
    for (let from = 0; from < rows.length; from += width) {
      for (let i = 0; i < width; i++) {
        const off = rows[from + i]! - shift[i]!;
        sums[i]! += off;
        squares += off * off;
      }
    }
    return squares;
  },
};

/** By assembly/spread.ts, four times as fast as in JavaScript. */
export class SpreadKernel implements Spread {
  readonly #exports: Exports;
  #floats: Float32Array;
  #doubles: Float64Array;

  /** @throws Error when it was not built ("npm run build") */
  constructor() {
    // Built from assembly/ into dist/catalog, wherever this file itself runs from.
    const file = createRequire(import.meta.url).resolve("#dist/wasm/spread.wasm");
    const module = new WebAssembly.Module(readFileSync(file));
    this.#exports = new WebAssembly.Instance(module, {}).exports as unknown as Exports;
    this.#floats = new Float32Array(this.#exports.memory.buffer);
    this.#doubles = new Float64Array(this.#exports.memory.buffer);
  }

  add(rows: Float32Array, shift: Float32Array, sums: Float64Array): number {
    const { length: width } = shift;
    const shiftAt = SUMS + width * 8;
    const rowsAt = shiftAt + ((width * 4 + 15) & ~15);
    const atOnce = Math.max(1, Math.floor(ROWS_BYTES / 4 / width)) * width;
    this.#reserve(rowsAt + atOnce * 4);
    this.#doubles.set(sums, SUMS / 8);
    this.#floats.set(shift, shiftAt / 4);
    let squares = 0;
    for (let from = 0; from < rows.length; from += atOnce) {
      const part = rows.subarray(from, from + atOnce);
      this.#floats.set(part, rowsAt / 4);
      squares += this.#exports.spread(rowsAt, part.length / width, width, shiftAt, SUMS);
    }
    sums.set(this.#doubles.subarray(SUMS / 8, SUMS / 8 + width));
    return squares;
  }

  #reserve(bytes: number): void {
    const { memory } = this.#exports;
    const missing = Math.ceil((bytes - memory.buffer.byteLength) / PAGE);
    if (missing <= 0) return;
    memory.grow(missing);
    this.#floats = new Float32Array(memory.buffer);
    this.#doubles = new Float64Array(memory.buffer);
  }
}
