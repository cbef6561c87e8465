import type { Atoms } from "../../core/dictionary-weights.ts";
import { webAssemblyFits } from "../../core/process-limits.ts";
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
  /** Subtracts value · D_j. */
  subtract(j: number, value: number): void;
  /** Subtracts Σ values · D_indices. */
  subtractAll(indices: Uint32Array, values: Float32Array): void;
  /** ||row||² */
  energy(): number;
}

/**
 * Moves the atoms into WebAssembly memory, where SIMD subtracts them. Where that memory is not available, where it is too
 * small, and where d is no multiple of 4, the atoms stay and plain loops do the same.
 */
export function placeAtoms<W extends Atoms>(weights: W): { readonly weights: W; readonly residual: AtomResidual } {
  const { atoms, m, d } = weights;
  const rowAt = LINE;
  const atomsAt = rowAt + Math.ceil((8 * d) / LINE) * LINE;
  const bytes = atomsAt + 4 * m * d;
  if (d % 4 !== 0 || bytes > MAX_MEMORY || !webAssemblyFits()) return { weights, residual: new PlainResidual(weights) };
  const memory = createMemory(bytes);
  const placed = new Float32Array(memory.buffer, atomsAt, m * d);
  placed.set(atoms);
  const kernel = instantiatePursuitKernel(compilePursuitKernel(), memory, false);
  const row = new Float64Array(memory.buffer, rowAt, d);
  return { weights: { ...weights, atoms: placed }, residual: new KernelResidual(kernel, row, atomsAt) };
}

/** Everything begins on a cache line, and address 0 stays unused. */
const LINE = 64;

class KernelResidual implements AtomResidual {
  readonly row: Float64Array;
  readonly #kernel: PursuitKernel;
  readonly #atomsAt: number;

  constructor(kernel: PursuitKernel, row: Float64Array, atomsAt: number) {
    this.#kernel = kernel;
    this.row = row;
    this.#atomsAt = atomsAt;
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
