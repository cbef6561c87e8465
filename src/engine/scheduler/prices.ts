import type { Executor, Work } from "./executor.ts";

/** So that rows which fill a batch exactly are not one too many by the last bit of a division. */
const ROUNDING = 1e-9;

/** Predicted milliseconds of some rows as asked, and when they are shortened as far as they may be. */
export interface Cost {
  readonly full: number;
  readonly least: number;
}

/** What works cost by an executor's predictions, and how much of them one batch has room for. */
export class Prices<W extends Work> {
  readonly #executor: Pick<Executor<W, unknown>, "capacity" | "overhead" | "rowCost">;

  constructor(executor: Pick<Executor<W, unknown>, "capacity" | "overhead" | "rowCost">) {
    this.#executor = executor;
  }

  /** Predicted cost of a run beyond that of its rows. */
  get overhead(): number {
    return this.#executor.overhead;
  }

  /** Cost of rows that one batch has room for. */
  get room(): number {
    const { capacity, overhead } = this.#executor;
    return Math.max(capacity - overhead, capacity / 2);
  }

  /** Rows of that cost, with the runs that they fill. */
  withRuns(cost: number): number {
    return cost + Math.ceil(cost / this.room) * this.overhead;
  }

  /** Rows [from, to) that keep that share of what they may cost beyond their least. */
  of(work: W, from: number, to: number, keep: number): number {
    if (work.uniform) return (to - from) * this.#executor.rowCost(work, from, keep);
    let cost = 0;
    for (let row = from; row < to; row++) cost += this.#executor.rowCost(work, row, keep);
    return cost;
  }

  /** All rows of a work from there on. */
  fromRow(work: W, from: number): Cost {
    const full = this.of(work, from, work.count, 1);
    return { full, least: work.degrade ? this.of(work, from, work.count, 0) : full };
  }

  /** How many rows from there on fit into the room, and their cost. */
  fit(work: W, from: number, room: number, keep: number): [rows: number, cost: number] {
    const left = work.count - from;
    if (work.uniform) {
      const each = this.#executor.rowCost(work, from, keep);
      const rows = Math.max(0, Math.min(left, Math.floor(room / each + ROUNDING)));
      return [rows, rows * each];
    }
    let cost = 0;
    for (let rows = 0; rows < left; rows++) {
      const more = cost + this.#executor.rowCost(work, from + rows, keep);
      if (more > room) return [rows, cost];
      cost = more;
    }
    return [left, cost];
  }
}
