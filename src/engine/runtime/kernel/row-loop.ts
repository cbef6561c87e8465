import type { PursuitSettings } from "../../core/dictionary.ts";
import { type Arena, LINE, type Shard } from "./arena.ts";
import { finiteSteps, RUNNING, nearLimit, type RowJob, stopBefore, STOPS, NEEDS_REFRESH } from "./row-job.ts";
import { Lane, takeResidual } from "./lane.ts";
import { instantiatePursuitKernel, type PursuitKernel } from "./pursuit-kernel.ts";

/** Options of a thread's loop; plain data, so they can be sent to a worker. */
export interface RowLoopOptions {
  readonly module: WebAssembly.Module;
  readonly arena: Arena;
  /** The first of the thread's two lanes. */
  readonly lane: number;
  readonly settings: Pick<PursuitSettings, "score" | "reselect">;
  /** [m] 2 − ||D_j||², float32: selecting atom j with value v lowers ||r||² by v² times this. */
  readonly gain: Float32Array;
}

/**
 * Correlations are recomputed from the residual, and the residual from x and z, once ||r||² has fallen to this share of
 * its value at the last refresh: the rounding error of updates is relative to that value.
 */
const REFRESH_FALL = 1e-4;

/** Steps after which they are refreshed at the latest, so that deep pursuits do not drift. */
const REFRESH_STEPS = 256;

/**
 * Error bound of a correlation, as a share of ||r|| at the last refresh: a float32 product of about a thousand terms
 * and REFRESH_STEPS updates, with margin.
 */
const CORRELATION_ERROR = 2 ** -19;

/** A thread's view of one shard. */
interface ShardView extends Shard {
  readonly kernel: PursuitKernel;
  readonly floats: Float32Array;
  readonly integers: Uint32Array;
}

/**
 * Matching pursuit (docs/algorithm.md), row by row, in one thread. Control flow here; loops over m or d in WebAssembly.
 * Between two steps of a row only its selection is pending, so one pass can advance two rows.
 */
export class RowLoop {
  readonly #arena: Arena;
  readonly #settings: RowLoopOptions["settings"];
  readonly #gain: Float32Array;
  readonly #shards: readonly ShardView[];
  readonly #lanes: readonly [Lane, Lane];

  constructor({ module, arena, lane, settings, gain }: RowLoopOptions) {
    this.#arena = arena;
    this.#settings = settings;
    this.#gain = gain;
    this.#shards = arena.shards.map((shard) => ({
      ...shard,
      kernel: instantiatePursuitKernel(module, shard.memory, settings.score === "absolute"),
      floats: new Float32Array(shard.memory.buffer),
      integers: new Uint32Array(shard.memory.buffer),
    }));
    const repeats = settings.reselect === "stop" ? arena.shape.m : 0;
    this.#lanes = [new Lane(lane, repeats), new Lane(lane + 1, repeats)];
  }

  /**
   * Works on rows until `next` returns none, each to its end or until it needs fresh correlations. Rows in state
   * RUNNING arrive with fresh correlations.
   * @param gram whether the Gram matrix is available; if not, a row waits after every selection
   */
  run(job: RowJob, gram: boolean, next: () => number): void {
    const [a, b] = this.#lanes;
    for (;;) {
      this.#occupy(a, job, gram, next);
      this.#occupy(b, job, gram, next);
      if (a.row < 0 && b.row < 0) return;
      if (a.row >= 0 && b.row >= 0) this.#advanceTwo(a, b, job.prefetch);
      else this.#advance(a.row >= 0 ? a : b, job.prefetch);
      if (a.row >= 0) this.#select(a, job, gram);
      if (b.row >= 0) this.#select(b, job, gram);
    }
  }

  /** Gives an idle lane rows until one has a pending selection. */
  #occupy(lane: Lane, job: RowJob, gram: boolean, next: () => number): void {
    while (lane.row < 0) {
      const row = next();
      if (row < 0) return;
      if (job.stops[row] !== RUNNING) continue;
      this.#begin(lane, job, row);
      if (lane.row >= 0) this.#select(lane, job, gram);
    }
  }

  /** Starts or resumes a row whose correlations are fresh. */
  #begin(lane: Lane, job: RowJob, row: number): void {
    lane.take(row);
    const steps = job.steps[row]!;
    job.freshSteps[row] = steps;
    job.freshEnergy[row] = job.energy[row]!;
    const from = row * job.depth;
    if (this.#settings.reselect === "stop") lane.markAll(job.indices, from, from + steps);
    if (this.#settings.reselect === "forbid") {
      for (let k = from; k < from + steps; k++) this.#forbid(row, job.indices[k]!);
    }
    const stop = stopBefore(job, row);
    if (stop !== RUNNING) return this.#end(lane, job, stop);
    for (const { kernel, correlations, width, argmaxes } of this.#shards) {
      kernel.argmax(correlations + 4 * width * row, width, argmaxes + LINE * lane.index);
    }
  }

  #advance(lane: Lane, prefetch: boolean): void {
    for (const { kernel, correlations, width, argmaxes, gram } of this.#shards) {
      const c = correlations + 4 * width * lane.row;
      const g = gram + 4 * width * lane.atom;
      if (prefetch) kernel.prefetch(g, width);
      kernel.advance(c, g, lane.value, width, argmaxes + LINE * lane.index);
    }
  }

  #advanceTwo(a: Lane, b: Lane, prefetch: boolean): void {
    for (const { kernel, correlations, width, argmaxes, gram } of this.#shards) {
      const row = 4 * width;
      const ga = gram + row * a.atom;
      const gb = gram + row * b.atom;
      if (prefetch) kernel.prefetchTwo(ga, gb, width);
      kernel.advanceTwo(
        correlations + row * a.row,
        ga,
        a.value,
        argmaxes + LINE * a.index,
        correlations + row * b.row,
        gb,
        b.value,
        argmaxes + LINE * b.index,
        width,
      );
    }
  }

  /** Makes one step from the row's arg-max: the selection, its effect on the residual, and the tests after it. */
  #select(lane: Lane, job: RowJob, gram: boolean): void {
    const { row } = lane;
    this.#readArgmax(lane);
    const { atom, value, best } = lane;
    const { score } = this.#settings;
    // Negated comparisons also hold for NaN, which ends a diverged row.
    const gains = score === "signed" ? Math.abs(value) > 0 && best > -Infinity : best > 0;
    if (!gains) return this.#end(lane, job, STOPS.no_gain);
    const gained = value * value * this.#gain[atom]!;
    if (gained < job.minEnergy[row]!) return this.#end(lane, job, STOPS.min_gain);

    const at = row * job.depth + job.steps[row]!;
    job.indices[at] = atom;
    job.values[at] = value;
    const steps = ++job.steps[row]!;
    const renewed = this.#lower(lane, job, gram, gained);
    const energy = job.energy[row]!;
    job.energies[at] = energy;

    let stop = stopBefore(job, row);
    if (energy < job.threshold[row]!) stop = STOPS.residual_norm;
    if (this.#settings.reselect === "stop" && lane.mark(atom)) stop = STOPS.repeat;
    if (stop !== RUNNING) return this.#end(lane, job, stop);
    // An exactly explained row has no correlations.
    if (energy === 0) return this.#end(lane, job, STOPS.no_gain);
    if (this.#settings.reselect === "forbid") this.#forbid(row, atom);
    const stale = energy < job.freshEnergy[row]! * REFRESH_FALL || steps >= job.freshSteps[row]! + REFRESH_STEPS;
    if (stale && !renewed) this.#renew(lane, job);
    if (stale || !gram) {
      job.stops[row] = NEEDS_REFRESH;
      lane.row = -1;
    }
  }

  /**
   * Updates ||r||² after a selection. The running energy is used as long as it is far from every limit; within its
   * error bound of a limit, or after a deep fall, it is recomputed from x and z (docs/algorithm.md, Numerics).
   * @returns whether it was recomputed, and the residual with it
   */
  #lower(lane: Lane, job: RowJob, gram: boolean, gained: number): boolean {
    const { row, atom, value } = lane;
    if (!gram) {
      const { rowWidth, atoms, residuals } = this.#arena;
      const [{ kernel }] = this.#shards as readonly [ShardView];
      job.energy[row] = kernel.subtract(residuals + 4 * rowWidth * row, atoms + 4 * rowWidth * atom, value, rowWidth);
      return false;
    }
    const fresh = job.freshEnergy[row]!;
    const energy = job.energy[row]! - gained;
    lane.slack += 2 * Math.abs(value) * CORRELATION_ERROR * Math.sqrt(fresh);
    job.energy[row] = energy;
    // Negated, so that it holds for NaN too.
    const fallen = !(energy >= fresh * REFRESH_FALL);
    const renew = fallen || nearLimit(job, row, lane.slack);
    if (renew) this.#renew(lane, job);
    return renew;
  }

  #readArgmax(lane: Lane): void {
    let best = -Infinity;
    let shard = this.#shards[0]!;
    let index = 0;
    for (const one of this.#shards) {
      const at = (one.argmaxes + LINE * lane.index) >> 2;
      if (one.floats[at]! > best) {
        best = one.floats[at]!;
        index = one.integers[at + 1]!;
        shard = one;
      }
    }
    lane.best = best;
    lane.atom = shard.from + index;
    lane.value = shard.floats[shard.correlations / 4 + shard.width * lane.row + index]!;
  }

  /** NaN never wins an arg-max. */
  #forbid(row: number, atom: number): void {
    for (const { from, count, width, correlations, floats } of this.#shards) {
      if (atom >= from && atom < from + count) floats[correlations / 4 + width * row + atom - from] = Number.NaN;
    }
  }

  /** Recomputes the residual from x and the selections so far, in float64. */
  #renew(lane: Lane, job: RowJob): void {
    const { row } = lane;
    const from = row * job.depth;
    const { rowWidth, residuals } = this.#arena;
    const energy = this.#residual(lane, job, job.indices, job.values, job.steps[row]!);
    const [{ kernel }] = this.#shards as readonly [ShardView];
    kernel.toF32(residuals + 4 * rowWidth * row, this.#row64Of(lane), rowWidth);
    job.energy[row] = energy;
    job.energies[from + job.steps[row]! - 1] = energy;
    lane.slack = 0;
  }

  /** Computes ||r||² after each selection, from x and the selections. */
  #traceEnergies(lane: Lane, job: RowJob): void {
    const { indices, values, energies, steps, depth } = job;
    const { rowWidth, atoms } = this.#arena;
    const [{ kernel }] = this.#shards as readonly [ShardView];
    const row64 = this.#row64Of(lane);
    kernel.toF64(row64, this.#xOf(lane, job), rowWidth);
    const from = lane.row * depth;
    for (let k = from; k < from + steps[lane.row]!; k++) {
      kernel.subtractF64(row64, atoms + 4 * rowWidth * indices[k]!, values[k]!, rowWidth);
      energies[k] = kernel.energyF64(row64, rowWidth);
    }
  }

  /** row64 of the lane ← x − Σ of `count` entries, in float64. @returns its squared norm */
  #residual(lane: Lane, job: RowJob, indices: Uint32Array, values: Float32Array, count: number): number {
    const [{ kernel }] = this.#shards as readonly [ShardView];
    const from = lane.row * job.depth;
    const entries = { indices, values, from, to: from + count, prefetch: job.prefetch };
    return takeResidual(kernel, this.#arena, this.#row64Of(lane), this.#xOf(lane, job), entries);
  }

  #xOf = ({ row }: Lane, { rows }: RowJob): number => rows + 4 * this.#arena.rowWidth * row;

  #row64Of = ({ index }: Lane): number => this.#arena.rows64 + 8 * this.#arena.rowWidth * index;

  /** Finishes a row: its code, merged and in order, and the final residual from x and z. */
  #end(lane: Lane, job: RowJob, stop: number): void {
    const { row } = lane;
    const from = row * job.depth;
    const finite = finiteSteps(job, from, 1, job.steps[row]!, job.unscale[row]!);
    // A row that diverges beyond float32 ends at its last finite step.
    job.stops[row] = finite < job.steps[row]! ? STOPS.no_gain : stop;
    job.steps[row] = finite;
    if (job.traced) this.#traceEnergies(lane, job);
    const entries = lane.merge(job, from, finite);
    job.entries[row] = entries;
    job.finalEnergy[row] = this.#residual(lane, job, job.codeIndices, job.codeValues, entries);
    if (job.finalResiduals.length > 0) {
      const { d } = this.#arena.shape;
      const row64 = new Float64Array(this.#shards[0]!.memory.buffer, this.#row64Of(lane), d);
      job.finalResiduals.set(row64, row * d);
    }
    lane.row = -1;
  }
}
