import type { Atoms } from "../../core/dictionary-weights.ts";
import { webAssemblyFits } from "../../core/process-limits.ts";
import { LINE } from "./arena.ts";
import {
  compilePursuitKernel,
  createMemory,
  instantiatePursuitKernel,
  MAX_MEMORY,
  type PursuitKernel,
} from "./pursuit-kernel.ts";

/** The residual of one row in float64. */
export interface AtomResidual {
  /** [d] */
  readonly row: Float64Array;
  /** Starts with the row [d] at `from` of `rows`. */
  place(rows: Float32Array, from: number): void;
  /** Subtracts value · D_j. */
  subtract(j: number, value: number): void;
  /** Subtracts Σ values · D_indices. */
  subtractAll(indices: Uint32Array, values: Float32Array): void;
  /** ||row||² */
  energy(): number;
}

/** Atoms in memory that threads share, with a row for each thread; can be sent to a worker. */
export interface SharedAtoms {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly d: number;
  /** Address of [m, d] atoms; of [threads, d] float64 rows, each beginning on a cache line. */
  readonly atoms: number;
  readonly rows: number;
}

/**
 * Moves the atoms into WebAssembly memory, where SIMD subtracts them. Where that memory is not available, where it is too
 * small, and where d is no multiple of 4, the atoms stay, and `shared` is null.
 * @param threads that will each make a residual
 */
export function placeAtoms<W extends Atoms>(
  weights: W,
  threads: number,
): { readonly weights: W; readonly shared: SharedAtoms | null } {
  const { atoms, m, d } = weights;
  const rows = LINE;
  const atomsAt = rows + threads * rowBytes(d);
  const bytes = atomsAt + 4 * m * d;
  if (d % 4 !== 0 || bytes > MAX_MEMORY || !webAssemblyFits()) return { weights, shared: null };
  const memory = createMemory(bytes);
  const placed = new Float32Array(memory.buffer, atomsAt, m * d);
  placed.set(atoms);
  const shared = { module: compilePursuitKernel(), memory, d, atoms: atomsAt, rows };
  return { weights: { ...weights, atoms: placed }, shared };
}

/** The residual of one thread, over atoms that all threads share. */
export const sharedResidual = (atoms: SharedAtoms, thread: number): AtomResidual => new KernelResidual(atoms, thread);

/** The same by plain loops. */
export const plainResidual = (weights: Pick<Atoms, "atoms" | "d">): AtomResidual => new PlainResidual(weights);

const rowBytes = (d: number): number => Math.ceil((8 * d) / LINE) * LINE;

/** A loop: `set` converts each number by a slow path. */
function placeRow(row: Float64Array, rows: Float32Array, from: number): void {
  for (let c = 0; c < row.length; c++) row[c] = rows[from + c]!;
}

class KernelResidual implements AtomResidual {
  readonly row: Float64Array;
  readonly #kernel: PursuitKernel;
  readonly #atomsAt: number;

  constructor({ module, memory, d, atoms, rows }: SharedAtoms, thread: number) {
    this.#kernel = instantiatePursuitKernel(module, memory, false);
    this.row = new Float64Array(memory.buffer, rows + thread * rowBytes(d), d);
    this.#atomsAt = atoms;
  }

  place(rows: Float32Array, from: number): void {
    placeRow(this.row, rows, from);
  }

  subtract(j: number, value: number): void {
    this.#kernel.subtractF64(this.row.byteOffset, this.#atom(j), value, this.row.length);
  }

  subtractAll(indices: Uint32Array, values: Float32Array): void {
    const kernel = this.#kernel;
    const d = this.row.length;
    const at = this.row.byteOffset;
    const fours = indices.length & ~3;
    for (let k = 0; k < fours; k += 4) {
      const [a, b, e, f] = [indices[k]!, indices[k + 1]!, indices[k + 2]!, indices[k + 3]!];
      kernel.subtractFourF64(
        at,
        this.#atom(a),
        values[k]!,
        this.#atom(b),
        values[k + 1]!,
        this.#atom(e),
        values[k + 2]!,
        this.#atom(f),
        values[k + 3]!,
        d,
      );
    }
    for (let k = fours; k < indices.length; k++) this.subtract(indices[k]!, values[k]!);
  }

  energy(): number {
    return this.#kernel.energyF64(this.row.byteOffset, this.row.length);
  }

  #atom(j: number): number {
    return this.#atomsAt + 4 * this.row.length * j;
  }
}

class PlainResidual implements AtomResidual {
  readonly row: Float64Array;
  readonly #atoms: Float32Array;

  constructor({ atoms, d }: Pick<Atoms, "atoms" | "d">) {
    this.row = new Float64Array(d);
    this.#atoms = atoms;
  }

  place(rows: Float32Array, from: number): void {
    placeRow(this.row, rows, from);
  }

  subtract(j: number, value: number): void {
    const { row } = this;
    for (let c = 0, at = j * row.length; c < row.length; c++, at++) row[c]! -= value * this.#atoms[at]!;
  }

  subtractAll(indices: Uint32Array, values: Float32Array): void {
    for (let k = 0; k < indices.length; k++) this.subtract(indices[k]!, values[k]!);
  }

  energy(): number {
    let sum = 0;
    for (const value of this.row) sum += value * value;
    return sum;
  }
}
