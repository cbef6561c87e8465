import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { Arena } from "../kernel/arena.ts";
import { instantiatePrepareKernel, type PrepareKernel } from "../kernel/pursuit-kernel.ts";
import { limitRow, normRow, powerOfTwo, type RowColumns, type RowRules } from "./prepare-rows.ts";

/** Rows in slots of an arena's two sets of rows, made ready for a pursuit as {@link prepareRows} does, by the kernel. */
export class SlotRows {
  readonly #arena: Arena;
  readonly #rules: RowRules;
  readonly #kernel: PrepareKernel;
  readonly #floats: Float32Array;
  /** [slots, d] what the dense pass reads; kept, as fresh memory costs more than what is done with it. */
  readonly #gathered: Float32Array;

  constructor(module: WebAssembly.Module, arena: Arena, rules: RowRules) {
    const [{ memory }] = arena.shards as readonly [Arena["shards"][number]];
    this.#arena = arena;
    this.#rules = rules;
    this.#kernel = instantiatePrepareKernel(module, memory);
    this.#floats = new Float32Array(memory.buffer);
    this.#gathered = new Float32Array(arena.shape.slots * rules.d);
    if (rules.center !== null) this.#floats.set(rules.center, arena.centre / 4);
  }

  /** Rows [from, to) of a batch, padding included, to slots 0 … of the set at `set`; their limits to the columns. */
  place({ rows, count, budgets }: EncodeBatch, columns: RowColumns, [from, to]: [number, number], set: number): void {
    const { rowWidth, centre } = this.#arena;
    const { d, settings } = this.#rules;
    for (let i = from; i < to; i++) {
      const address = set + 4 * rowWidth * (i - from);
      const slot = this.#slot(set, i - from);
      if (i >= count) {
        slot.fill(0);
        continue;
      }
      slot.set(rows.subarray(i * d, (i + 1) * d));
      normRow(columns, i, slot, settings);
      const unscale = powerOfTwo(this.#kernel.centre(address, centre, rowWidth));
      const energy = this.#kernel.rescale(address, 1 / unscale, rowWidth);
      limitRow(columns, i, { unscale, energy }, budgets, settings);
    }
  }

  /** [count, d] rows of slots 0 … count − 1. Holds until the next call. */
  scaled(set: number, count: number): Float32Array {
    const { d } = this.#rules;
    const { rowWidth } = this.#arena;
    const gathered = this.#gathered.subarray(0, count * d);
    if (rowWidth === d) gathered.set(this.#floats.subarray(set / 4, set / 4 + count * d));
    else for (let i = 0; i < count; i++) gathered.set(this.#slot(set, i), i * d);
    return gathered;
  }

  /** [slots.length, d] residuals of these slots. Holds until the next call. */
  residuals(slots: readonly number[]): Float32Array {
    const { d } = this.#rules;
    const { rowWidth, residuals } = this.#arena;
    // A single row would round differently: see DensePass.
    const gathered = this.#gathered.subarray(0, Math.max(2, slots.length) * d);
    for (const [k, slot] of slots.entries()) {
      const from = residuals / 4 + rowWidth * slot;
      gathered.set(this.#floats.subarray(from, from + d), k * d);
    }
    return gathered;
  }

  /** Rows of slots 0 … count − 1 as the residuals that a pursuit begins with. */
  beginResiduals(set: number, count: number): void {
    const { rowWidth, residuals } = this.#arena;
    this.#floats.copyWithin(residuals / 4, set / 4, set / 4 + rowWidth * count);
  }

  #slot(set: number, i: number): Float32Array {
    const from = set / 4 + this.#arena.rowWidth * i;
    return this.#floats.subarray(from, from + this.#rules.d);
  }
}
