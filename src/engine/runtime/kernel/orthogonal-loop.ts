import type { OrthogonalScore } from "../../core/dictionary.ts";
import { LARGEST_FLOAT32 } from "../../core/float-formats.ts";
import { LeastSquares } from "../../core/least-squares.ts";
import { type Arena, LINE, type Shard } from "./arena.ts";
import { instantiateOrthogonalKernel, type OrthogonalKernel } from "./pursuit-kernel.ts";
import { takeRemainder } from "./remainder.ts";
import { GOES_ON, type RowJob, WAITS } from "./row-job.ts";
import { stopBefore, STOPS } from "./row-stops.ts";

/** What a thread needs; plain enough to be handed to it. */
export interface OrthogonalLoopOptions {
  readonly module: WebAssembly.Module;
  readonly arena: Arena;
  /** The thread's own lane. */
  readonly lane: number;
  readonly score: OrthogonalScore;
}

/**
 * Correlations are taken anew from the residual once ||r||² has fallen to this share of what it was at the last time:
 * their rounding is relative to what they are made from. They are made from there at every step, so nothing drifts.
 */
const REFRESH_FALL = 1e-4;

/** Once ||r||² has fallen to this share of ||x − b||² its running sum has too few digits left, and it is taken from r. */
const DEEP = 1e-4;

/** Share of ||x − b||² under which a residual is the rounding of the row itself, float32's 2⁻²³: nothing is left to gain. */
const ROUNDING = 2 ** -46;

/** One shard as a thread sees it. */
interface ShardView extends Shard {
  readonly kernel: OrthogonalKernel;
  readonly floats: Float32Array;
  readonly integers: Uint32Array;
}

/**
 * Orthogonal pursuit (docs/algorithm.md), row by row, by one thread. Loops over m are in the kernel: at every step
 * c = c⁰ − Σ (z_j − z⁰_j)·G_j by as many rows of the Gram matrix as there are atoms, and its winner, in one pass that
 * writes nothing. Loops over d and the least squares are in float64.
 */
export class OrthogonalLoop {
  readonly #arena: Arena;
  readonly #score: OrthogonalScore;
  readonly #lane: number;
  readonly #shards: readonly ShardView[];
  readonly #atoms: Float32Array;
  /** [rowWidth] the lane's float64 row. */
  readonly #wide: Float64Array;
  readonly #own: LeastSquares;
  /** Solutions of rows that wait at every step, by slot: without the Gram matrix all of them are this thread's. */
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
    this.#wide = new Float64Array(buffer, arena.wide + 8 * arena.rowWidth * lane, arena.rowWidth);
    this.#own = this.#newSolution();
  }

  /** As RowLoop's: rows until `next` gives none, each to its end or until it waits for fresh correlations. */
  run(job: RowJob, gram: boolean, next: () => number): void {
    for (let row = next(); row >= 0; row = next()) {
      if (job.stops[row] === GOES_ON) job.stops[row] = this.#pursue(job, row, gram);
    }
  }

  /** @returns why the row ended, or WAITS */
  #pursue(job: RowJob, row: number, gram: boolean): number {
    this.#row = row;
    this.#x = job.rows + 4 * this.#arena.rowWidth * row;
    const solution = this.#resume(job, row, gram);
    const fresh = solution.coefficients.slice(0, solution.size);
    job.freshEnergy[row] = job.energy[row]!;
    for (let k = 0; k < solution.size; k++) this.#forbid(solution.selected[k]!);
    let stop = stopBefore(job, row);
    while (stop === GOES_ON) {
      stop = this.#step(job, solution, fresh);
      if (stop !== GOES_ON) break;
      const stale = REFRESH_FALL * job.freshEnergy[row] > job.energy[row]!;
      if (gram && !stale) continue;
      this.#narrowResidual(solution);
      return WAITS;
    }
    this.#end(job, solution);
    return stop;
  }

  /** The row's solution as it was left. With the matrix another thread may have left it: its selections tell all of it. */
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
    // Before the first step the row's energy is that of the row itself; afterwards it is recomputed there.
    solution.start(x, job.startEnergy[row]!);
    for (let k = 0; k < steps; k++) solution.add(job.indices[row * job.depth + k]!);
    return solution;
  }

  /** One selection with all that follows from it. @returns why the row ends by it, or GOES_ON */
  #step(job: RowJob, solution: LeastSquares, fresh: Float64Array): number {
    const row = this.#row;
    const initial = job.startEnergy[row]!;
    const before = job.energy[row]!;
    if (before <= ROUNDING * initial) return STOPS.no_gain;
    this.#writeTerms(solution, fresh);
    // Of the rows of G that it goes by, the newest atom's is the one that is in no cache yet.
    if (job.touches && solution.size > 0) this.#touch(solution.selected[solution.size - 1]!);
    const j = this.#winner(this.#termCount);
    if (j < 0) return STOPS.no_gain;
    const added = solution.add(j);
    if (added !== "added") return STOPS[added];
    let { energy } = solution;
    if (energy < DEEP * initial) energy = this.#residual(solution.selected, solution.coefficients, solution.size);
    // What the step took from ||r||², the solving for all coefficients included.
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

  /** The rows of G by which the correlations have changed since they were fresh, and by how much, in every shard. */
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

  #touch(atom: number): void {
    for (const { kernel, gram, width } of this.#shards) kernel.touch(gram + 4 * width * atom, width);
  }

  /** The atom of the largest score; −1 where none is above 0. */
  #winner(count: number): number {
    let best = 0;
    let atom = -1;
    for (const shard of this.#shards) {
      const out = shard.winners + LINE * this.#lane;
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

  /** NaN never wins. */
  #forbid(atom: number): void {
    for (const { from, count, width, correlations, floats } of this.#shards) {
      if (atom >= from && atom < from + count) floats[correlations / 4 + width * this.#row + atom - from] = Number.NaN;
    }
  }

  /** wide ← x − Σ values·atoms, in float64. @returns its squared norm */
  #residual(indices: ArrayLike<number>, values: ArrayLike<number>, count: number, from = 0): number {
    const [{ kernel }] = this.#shards as readonly [ShardView];
    // Every step has read the atoms that it goes by.
    const entries = { indices, values, from, to: from + count, touches: false };
    return takeRemainder(kernel, this.#arena, this.#wide.byteOffset, this.#x, entries);
  }

  /** What the next dense pass multiplies. */
  #narrowResidual(solution: LeastSquares): void {
    const { rowWidth, residuals } = this.#arena;
    this.#residual(solution.selected, solution.coefficients, solution.size);
    const [{ kernel }] = this.#shards as readonly [ShardView];
    kernel.narrow(residuals + 4 * rowWidth * this.#row, this.#wide.byteOffset, rowWidth);
  }

  /** The code, ascending and without zeros, with the final residual from x and z as float32 has it. */
  #end(job: RowJob, { selected, coefficients, size }: LeastSquares): void {
    const row = this.#row;
    const from = row * job.depth;
    const order = Array.from({ length: size }, (_, k) => k).sort((a, b) => selected[a]! - selected[b]!);
    let to = from;
    for (const k of order) {
      job.codeIndices[to] = selected[k]!;
      job.codeValues[to] = coefficients[k]!;
      // Not every coefficient that float64 tells from zero is one in float32.
      if (Math.fround(job.codeValues[to]! * job.unscale[row]!) !== 0) to++;
    }
    job.entries[row] = to - from;
    job.finalEnergy[row] = this.#residual(job.codeIndices, job.codeValues, to - from, from);
    const { d } = this.#arena.shape;
    if (job.remainders.length > 0) job.remainders.set(this.#wide.subarray(0, d), row * d);
  }

  #newSolution(): LeastSquares {
    const atoms = { atoms: this.#atoms, d: this.#arena.rowWidth };
    return new LeastSquares(atoms, this.#score === "relu", (j, selected, count, into, at) =>
      this.#products(j, selected, count, into, at),
    );
  }

  /** D_j times the first `count` selected atoms, into `into` from `at` on; the product with the row in work is returned. */
  #products(j: number, selected: Int32Array, count: number, into: Float64Array, at: number): number {
    const { rowWidth, atoms, lists, listLength } = this.#arena;
    const [{ kernel, floats, integers }] = this.#shards as readonly [ShardView];
    const list = lists + LIST_ENTRY * listLength * this.#lane;
    const results = list + 4 * listLength;
    const found = new Float64Array(floats.buffer, results, listLength);
    const wide = this.#wide.byteOffset;
    kernel.widen(wide, atoms + 4 * rowWidth * j, rowWidth);
    integers[list >> 2] = this.#x;
    kernel.products(wide, list, 1, rowWidth, results);
    const withRow = found[0]!;
    for (let k = 0; k < count; k += listLength) {
      const part = Math.min(listLength, count - k);
      for (let i = 0; i < part; i++) integers[(list >> 2) + i] = atoms + 4 * rowWidth * selected[k + i]!;
      kernel.products(wide, list, part, rowWidth, results);
      for (let i = 0; i < part; i++) into[at + k + i] = found[i]!;
    }
    return withRow;
  }
}

/** Bytes of a lane's two blocks of scores, and of an entry of its list with its result: see arena.ts. */
const BLOCKS = 512;
const LIST_ENTRY = 12;

function fitsFloat32({ coefficients, size }: LeastSquares, scale: number): boolean {
  for (let k = 0; k < size; k++) if (!(Math.abs(coefficients[k]! * scale) <= LARGEST_FLOAT32)) return false;
  return true;
}
