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

/** What {@link allocateAtoms} has made, by memory. */
const allocated = new WeakMap<ArrayBufferLike, SharedAtoms>();

/**
 * [m, d] room for atoms in WebAssembly memory, where SIMD subtracts them. Null where that memory is not available, where it is
 * too small, and where d is no multiple of 4.
 * @param threads that will each make a residual
 */
export function allocateAtoms({ m, d }: Pick<Atoms, "m" | "d">, threads: number): Float32Array | null {
  const rows = LINE;
  const atoms = rows + threads * rowBytes(d);
  const bytes = atoms + 4 * m * d;
  if (d % 4 !== 0 || bytes > MAX_MEMORY || !webAssemblyFits()) return null;
  const memory = createMemory(bytes);
  allocated.set(memory.buffer, { module: compilePursuitKernel(), memory, d, atoms, rows });
  return new Float32Array(memory.buffer, atoms, m * d);
}

/** Moves atoms that are not there yet into such memory. Where there is none they stay, and `shared` is null. */
export function placeAtoms<W extends Atoms>(
  weights: W,
  threads: number,
): { readonly weights: W; readonly shared: SharedAtoms | null } {
  const known = allocated.get(weights.atoms.buffer);
  if (known !== undefined) return { weights, shared: known };
  const atoms = allocateAtoms(weights, threads);
  if (atoms === null) return { weights, shared: null };
  atoms.set(weights.atoms);
  return { weights: { ...weights, atoms }, shared: allocated.get(atoms.buffer)! };
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
