import type { RowJob } from "./row-job.ts";

/** A row in work, and its pending selection. */
export class Lane {
  readonly index: number;
  /** The row's slot; −1 if idle. */
  row = -1;
  /** The selection not yet applied to the correlations, and its score. */
  atom = 0;
  value = 0;
  best = 0;
  /** Error bound of the running energy. */
  slack = 0;
  /** [m] the last visitor that selected each atom; empty if repeats do not matter. */
  readonly #seen: Uint32Array;
  #visitor = 0;
  #keys = new Float64Array(64);

  constructor(index: number, m: number) {
    this.index = index;
    this.#seen = new Uint32Array(m);
  }

  take(row: number): void {
    this.row = row;
    this.slack = 0;
    if (++this.#visitor === 2 ** 32) {
      this.#seen.fill(0);
      this.#visitor = 1;
    }
  }

  markAll(indices: Uint32Array, from: number, to: number): void {
    for (let k = from; k < to; k++) this.#seen[indices[k]!] = this.#visitor;
  }

  /** Marks the atom. @returns whether it was marked before */
  mark(atom: number): boolean {
    if (this.#seen[atom] === this.#visitor) return true;
    this.#seen[atom] = this.#visitor;
    return false;
  }

  /**
   * Writes the code of the first `steps` selections from `from` into the job's code columns, at the same place: atoms
   * ascending, values of one atom summed in float32 in order of selection, no zeros. @returns the number of entries
   */
  merge({ indices, values, codeIndices, codeValues, depth }: RowJob, from: number, steps: number): number {
    // Sort key: atom · depth + step, exact below 2^53.
    if (this.#keys.length < steps) this.#keys = new Float64Array(steps * 2);
    const keys = this.#keys.subarray(0, steps);
    for (let t = 0; t < steps; t++) keys[t] = indices[from + t]! * depth + t;
    keys.sort();
    let to = from;
    for (let k = 0; k < steps;) {
      const atom = Math.floor(keys[k]! / depth);
      const first = atom * depth;
      let sum = values[from + keys[k]! - first]!;
      for (k++; k < steps && keys[k]! < first + depth; k++) sum = Math.fround(sum + values[from + keys[k]! - first]!);
      if (sum === 0) continue;
      codeIndices[to] = atom;
      codeValues[to++] = sum;
    }
    return to - from;
  }
}
