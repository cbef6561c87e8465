import type { RowJob } from "./row-job.ts";
import type { Arena } from "./arena.ts";
import type { F64Kernel, PrefetchKernel } from "./pursuit-kernel.ts";

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

/** Entries [from, to) of a code or of selections; an atom may occur twice. */
export interface Entries {
  readonly indices: ArrayLike<number>;
  readonly values: ArrayLike<number>;
  readonly from: number;
  readonly to: number;
  /** Whether to prefetch the atoms (prefetch-trial.ts). */
  readonly prefetch: boolean;
}

/** Atoms prefetched at once: few enough to stay in cache until they are used. A multiple of four. */
const ATOMS_AT_ONCE = 16;

/**
 * row64 ← x − Σ values·atoms in float64. Four atoms at a time: a quarter of the memory traffic, same rounding.
 * @param row64 address of [rowWidth] float64
 * @param x address of [rowWidth] float32
 * @returns its squared norm
 */
export function takeResidual(
  kernel: F64Kernel & PrefetchKernel,
  { atoms, rowWidth }: Pick<Arena, "atoms" | "rowWidth">,
  row64: number,
  x: number,
  { indices, values, from, to, prefetch }: Entries,
): number {
  const atomOf = (k: number): number => atoms + 4 * rowWidth * indices[k]!;
  kernel.toF64(row64, x, rowWidth);
  for (let k = from; k < to;) {
    const end = Math.min(k + ATOMS_AT_ONCE, to);
    if (prefetch) {
      for (let i = k; i < end; i += 2) kernel.prefetchTwo(atomOf(i), atomOf(Math.min(i + 1, end - 1)), rowWidth);
    }
    for (; k + 4 <= end; k += 4) {
      kernel.subtractFourF64(
        row64,
        atomOf(k),
        values[k]!,
        atomOf(k + 1),
        values[k + 1]!,
        atomOf(k + 2),
        values[k + 2]!,
        atomOf(k + 3),
        values[k + 3]!,
        rowWidth,
      );
    }
    for (; k < end; k++) kernel.subtractF64(row64, atomOf(k), values[k]!, rowWidth);
  }
  return kernel.energyF64(row64, rowWidth);
}
