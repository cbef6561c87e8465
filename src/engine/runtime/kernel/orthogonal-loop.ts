import type { OrthogonalScore } from "../../core/dictionary.ts";
import { LARGEST_FLOAT32 } from "../../core/float-formats.ts";
import { LeastSquares } from "../../core/least-squares.ts";
import { type Arena, LINE, type Shard } from "./arena.ts";
import { instantiateOrthogonalKernel, type OrthogonalKernel } from "./pursuit-kernel.ts";
import { takeResidual } from "./lane.ts";
import { RUNNING, type RowJob, stopBefore, STOPS, NEEDS_REFRESH } from "./row-job.ts";

/** Options of a thread's loop; plain data, so they can be sent to a worker. */
export interface OrthogonalLoopOptions {
  readonly module: WebAssembly.Module;
  readonly arena: Arena;
  /** The thread's own lane. */
  readonly lane: number;
  readonly score: OrthogonalScore;
}

/**
 * Correlations are recomputed from the residual once ||r||² has fallen to this share of its value at the last refresh,
 * because their rounding error is relative to it. Every step starts from them, so nothing drifts.
 */
const REFRESH_FALL = 1e-4;

/** Once ||r||² has fallen to this share of ||x − b||² its running sum has lost too many digits: compute it from r. */
const DEEP = 1e-4;

/**
 * Share of ||x − b||² below which a residual is only the row's own rounding (float32's 2⁻²³): nothing is left to gain.
 */
const ROUNDING = 2 ** -46;

/** A thread's view of one shard. */
interface ShardView extends Shard {
  readonly kernel: OrthogonalKernel;
  readonly floats: Float32Array;
  readonly integers: Uint32Array;
}

/**
 * Orthogonal pursuit (docs/algorithm.md), row by row, in one thread. The kernel loops over m: one pass computes c = c⁰
 * − Σ (z_j − z⁰_j)·G_j and its arg-max without writing c. Loops over d and the least squares are in float64.
 */
export class OrthogonalLoop {
  readonly #arena: Arena;
  readonly #score: OrthogonalScore;
  readonly #lane: number;
  readonly #shards: readonly ShardView[];
  readonly #atoms: Float32Array;
  /** [rowWidth] the lane's float64 row. */
  readonly #row64: Float64Array;
  readonly #own: LeastSquares;
  /** Solutions of rows in work, by slot. Used without the Gram matrix: one thread then does all rows. */
  readonly #waiting = new WeakMap<RowJob, LeastSquares[]>();
  /** Slot of the row in work, and its address. */
  #row = 0;
  #x = 0;

  constructor({ module, arena, lane, score }: OrthogonalLoopOptions) {
    this.#arena = arena;
    this.#score = score;
    this.#lane = lane;
    this.#shards = arena.shards.map((shard) => ({
      ...shard,
      kernel: instantiateOrthogonalKernel(module, shard.memory, score === "absolute"),
      floats: new Float32Array(shard.memory.buffer),
      integers: new Uint32Array(shard.memory.buffer),
    }));
    const { buffer } = arena.shards[0]!.memory;
    this.#atoms = new Float32Array(buffer, arena.atoms, arena.shape.m * arena.rowWidth);
    this.#row64 = new Float64Array(buffer, arena.rows64 + 8 * arena.rowWidth * lane, arena.rowWidth);
    this.#own = this.#newSolution();
  }

  /** Works on rows until `next` returns none, each to its end or until it needs fresh correlations, as in RowLoop. */
  run(job: RowJob, gram: boolean, next: () => number): void {
    for (let row = next(); row >= 0; row = next()) {
      if (job.stops[row] === RUNNING) job.stops[row] = this.#pursue(job, row, gram);
    }
  }

  /** @returns the stop reason, or NEEDS_REFRESH */
  #pursue(job: RowJob, row: number, gram: boolean): number {
    this.#row = row;
    this.#x = job.rows + 4 * this.#arena.rowWidth * row;
    const solution = this.#resume(job, row, gram);
    const fresh = solution.coefficients.slice(0, solution.size);
    job.freshEnergy[row] = job.energy[row]!;
    for (let k = 0; k < solution.size; k++) this.#forbid(solution.selected[k]!);
    let stop = stopBefore(job, row);
    while (stop === RUNNING) {
      stop = this.#step(job, solution, fresh);
      if (stop !== RUNNING) break;
      const stale = REFRESH_FALL * job.freshEnergy[row] > job.energy[row]!;
      if (gram && !stale) continue;
      this.#storeResidual(solution);
      return NEEDS_REFRESH;
    }
    this.#end(job, solution);
    return stop;
  }

  /** Restores the row's solution. With the matrix another thread may have made it; its selections determine it. */
  #resume(job: RowJob, row: number, gram: boolean): LeastSquares {
    const steps = job.steps[row]!;
    const x = this.#shards[0]!.floats.subarray(this.#x / 4, this.#x / 4 + this.#arena.rowWidth);
    let solution = this.#own;
    if (!gram) {
      const kept = this.#waiting.get(job) ?? [];
      this.#waiting.set(job, kept);
      if (steps > 0 && kept[row] !== undefined) return kept[row];
      solution = kept[row] = this.#newSolution();
    }
    // Before the first step this is the row's own energy; later steps recompute it.
    solution.start(x, job.startEnergy[row]!);
    for (let k = 0; k < steps; k++) solution.add(job.indices[row * job.depth + k]!);
    return solution;
  }

  /** Makes one selection and solves for all coefficients. @returns the stop reason, or RUNNING */
  #step(job: RowJob, solution: LeastSquares, fresh: Float64Array): number {
    const row = this.#row;
    const initial = job.startEnergy[row]!;
    const before = job.energy[row]!;
    if (before <= ROUNDING * initial) return STOPS.no_gain;
    this.#writeTerms(solution, fresh);
    // Only the newest atom's row of G is not in a cache yet.
    if (job.prefetch && solution.size > 0) this.#prefetch(solution.selected[solution.size - 1]!);
    const j = this.#argmax(this.#termCount);
    if (j < 0) return STOPS.no_gain;
    const added = solution.add(j);
    if (added !== "added") return STOPS[added];
    let { energy } = solution;
    if (energy < DEEP * initial) energy = this.#residual(solution.selected, solution.coefficients, solution.size);
    // The drop in ||r||² after solving for all coefficients.
    if (before - energy < job.minEnergy[row]!) {
      solution.undo();
      return STOPS.min_gain;
    }
    if (!fitsFloat32(solution, job.unscale[row]!)) {
      solution.undo();
      return STOPS.no_gain;
    }
    const at = row * job.depth + job.steps[row]!++;
    job.indices[at] = j;
    job.values[at] = solution.coefficients[solution.size - 1]!;
    job.energies[at] = energy;
    job.energy[row] = energy;
    this.#forbid(j);
    if (energy < job.threshold[row]!) return STOPS.residual_norm;
    return stopBefore(job, row);
  }
  #termCount = 0;

  /** Writes terms for every shard: rows of G and the change of their coefficients since correlations were fresh. */
  #writeTerms({ selected, coefficients, size }: LeastSquares, fresh: Float64Array): void {
    let count = 0;
    for (const { terms, gram, width, floats, integers } of this.#shards) {
      count = 0;
      let at = (terms + 8 * this.#arena.termCount * this.#lane) >> 2;
      for (let k = 0; k < size; k++) {
        const change = coefficients[k]! - (fresh[k] ?? 0);
        if (change === 0) continue;
        integers[at++] = gram + 4 * width * selected[k]!;
        floats[at++] = change;
        count++;
      }
    }
    this.#termCount = count;
  }

  #prefetch(atom: number): void {
    for (const { kernel, gram, width } of this.#shards) kernel.prefetch(gram + 4 * width * atom, width);
  }

  /** @returns the atom of the largest score; −1 if no score is above 0 */
  #argmax(count: number): number {
    let best = 0;
    let atom = -1;
    for (const shard of this.#shards) {
      const out = shard.argmaxes + LINE * this.#lane;
      shard.kernel.explain(
        shard.correlations + 4 * shard.width * this.#row,
        shard.terms + 8 * this.#arena.termCount * this.#lane,
        count,
        shard.scales,
        shard.width,
        shard.blocks + BLOCKS * this.#lane,
        out,
      );
      if (shard.floats[out >> 2]! > best) {
        best = shard.floats[out >> 2]!;
        atom = shard.from + shard.integers[(out >> 2) + 1]!;
      }
    }
    return atom;
  }

  /** NaN never wins an arg-max. */
  #forbid(atom: number): void {
    for (const { from, count, width, correlations, floats } of this.#shards) {
      if (atom >= from && atom < from + count) floats[correlations / 4 + width * this.#row + atom - from] = Number.NaN;
    }
  }

  /** row64 ← x − Σ values·atoms in float64. @returns its squared norm */
  #residual(indices: ArrayLike<number>, values: ArrayLike<number>, count: number, from = 0): number {
    const [{ kernel }] = this.#shards as readonly [ShardView];
    // Every step has read these atoms.
    const entries = { indices, values, from, to: from + count, prefetch: false };
    return takeResidual(kernel, this.#arena, this.#row64.byteOffset, this.#x, entries);
  }

  /** Stores the float32 residual for the next dense pass. */
  #storeResidual(solution: LeastSquares): void {
    const { rowWidth, residuals } = this.#arena;
    this.#residual(solution.selected, solution.coefficients, solution.size);
    const [{ kernel }] = this.#shards as readonly [ShardView];
    kernel.toF32(residuals + 4 * rowWidth * this.#row, this.#row64.byteOffset, rowWidth);
  }

  /** Writes the code (ascending, no zeros) and the final residual from x and the float32 z. */
  #end(job: RowJob, { selected, coefficients, size }: LeastSquares): void {
    const row = this.#row;
    const from = row * job.depth;
    const order = Array.from({ length: size }, (_, k) => k).sort((a, b) => selected[a]! - selected[b]!);
    let to = from;
    for (const k of order) {
      job.codeIndices[to] = selected[k]!;
      job.codeValues[to] = coefficients[k]!;
      // A coefficient that is not zero in float64 may be zero in float32.
      if (Math.fround(job.codeValues[to]! * job.unscale[row]!) !== 0) to++;
    }
    job.entries[row] = to - from;
    job.finalEnergy[row] = this.#residual(job.codeIndices, job.codeValues, to - from, from);
    const { d } = this.#arena.shape;
    if (job.finalResiduals.length > 0) job.finalResiduals.set(this.#row64.subarray(0, d), row * d);
  }

  #newSolution(): LeastSquares {
    const atoms = { atoms: this.#atoms, d: this.#arena.rowWidth };
    return new LeastSquares(atoms, this.#score === "relu", (j, selected, count, into, at) =>
      this.#products(j, selected, count, into, at),
    );
  }

  /** Writes D_j · the first `count` selected atoms into `into` from `at`. @returns D_j · the row in work */
  #products(j: number, selected: Int32Array, count: number, into: Float64Array, at: number): number {
    const { rowWidth, atoms, lists, listLength } = this.#arena;
    const [{ kernel, floats, integers }] = this.#shards as readonly [ShardView];
    const list = lists + LIST_ENTRY * listLength * this.#lane;
    const results = list + 4 * listLength;
    const found = new Float64Array(floats.buffer, results, listLength);
    const row64 = this.#row64.byteOffset;
    kernel.toF64(row64, atoms + 4 * rowWidth * j, rowWidth);
    integers[list >> 2] = this.#x;
    kernel.products(row64, list, 1, rowWidth, results);
    const withRow = found[0]!;
    for (let k = 0; k < count; k += listLength) {
      const part = Math.min(listLength, count - k);
      for (let i = 0; i < part; i++) integers[(list >> 2) + i] = atoms + 4 * rowWidth * selected[k + i]!;
      kernel.products(row64, list, part, rowWidth, results);
      for (let i = 0; i < part; i++) into[at + k + i] = found[i]!;
    }
    return withRow;
  }
}

/** Bytes of a lane's two score blocks, and of a list entry with its result (arena.ts). */
const BLOCKS = 512;
const LIST_ENTRY = 12;

function fitsFloat32({ coefficients, size }: LeastSquares, scale: number): boolean {
  for (let k = 0; k < size; k++) if (!(Math.abs(coefficients[k]! * scale) <= LARGEST_FLOAT32)) return false;
  return true;
}
