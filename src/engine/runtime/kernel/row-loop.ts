import type { PursuitSettings } from "../../core/dictionary.ts";
import { type Arena, LINE, type Shard } from "./arena.ts";
import { finiteSteps } from "./finite-steps.ts";
import { Lane } from "./lane.ts";
import { instantiatePursuitKernel, type PursuitKernel } from "./pursuit-kernel.ts";
import { takeRemainder } from "./remainder.ts";
import { GOES_ON, type RowJob, WAITS } from "./row-job.ts";
import { nearLimit, stopBefore, STOPS } from "./row-stops.ts";

/** What a thread needs to work on an arena's rows; plain enough to be handed to it. */
export interface RowLoopOptions {
  readonly module: WebAssembly.Module;
  readonly arena: Arena;
  /** The thread's own lanes: this one and the next. */
  readonly lane: number;
  readonly settings: Pick<PursuitSettings, "score" | "reselect">;
  /** [m] 2 − ||D_j||², float32: selecting atom j with value v lowers ||r||² by v² times this. */
  readonly gain: Float32Array;
}

/**
 * Correlations are taken anew from the residual, and the residual from x and z, once ||r||² has fallen to this share of
 * what it was at the last time: the rounding that updates leave behind is relative to what they started from.
 */
const REFRESH_FALL = 1e-4;

/** And after this many steps at the latest, so that deep pursuits do not drift. */
const REFRESH_STEPS = 256;

/**
 * Error of a correlation at most, as a share of ||r|| when it was last taken anew: that of a float32 product of some
 * thousand terms and of REFRESH_STEPS updates, with room to spare.
 */
const CORRELATION_ERROR = 2 ** -19;

/** One shard as a thread sees it. */
interface ShardView extends Shard {
  readonly kernel: PursuitKernel;
  readonly floats: Float32Array;
  readonly integers: Uint32Array;
}

/**
 * Matching pursuit (docs/algorithm.md), row by row, by one thread: control flow here, loops over m or d in WebAssembly.
 * Between two steps of a row only its selection is pending, so that a thread advances two rows in one pass.
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
   * Works on rows until `next` gives none, each to its end or until it waits for fresh correlations. Rows whose state is
   * GOES_ON come with correlations taken from their residual.
   * @param gram whether updates by the Gram matrix are to be had; if not, a row waits after every selection.
   */
  run(job: RowJob, gram: boolean, next: () => number): void {
    const [a, b] = this.#lanes;
    for (;;) {
      this.#occupy(a, job, gram, next);
      this.#occupy(b, job, gram, next);
      if (a.row < 0 && b.row < 0) return;
      if (a.row >= 0 && b.row >= 0) this.#advanceTwo(a, b, job.touches);
      else this.#advance(a.row >= 0 ? a : b, job.touches);
      if (a.row >= 0) this.#select(a, job, gram);
      if (b.row >= 0) this.#select(b, job, gram);
    }
  }

  /** Gives an idle lane rows until one has a selection pending. */
  #occupy(lane: Lane, job: RowJob, gram: boolean, next: () => number): void {
    while (lane.row < 0) {
      const row = next();
      if (row < 0) return;
      if (job.stops[row] !== GOES_ON) continue;
      this.#begin(lane, job, row);
      if (lane.row >= 0) this.#select(lane, job, gram);
    }
  }

  /** A row whose correlations are fresh. */
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
    if (stop !== GOES_ON) return this.#end(lane, job, stop);
    for (const { kernel, correlations, width, winners } of this.#shards) {
      kernel.winner(correlations + 4 * width * row, width, winners + LINE * lane.index);
    }
  }

  #advance(lane: Lane, touches: boolean): void {
    for (const { kernel, correlations, width, winners, gram } of this.#shards) {
      const c = correlations + 4 * width * lane.row;
      const g = gram + 4 * width * lane.atom;
      if (touches) kernel.touch(g, width);
      kernel.advance(c, g, lane.value, width, winners + LINE * lane.index);
    }
  }

  #advanceTwo(a: Lane, b: Lane, touches: boolean): void {
    for (const { kernel, correlations, width, winners, gram } of this.#shards) {
      const row = 4 * width;
      const ga = gram + row * a.atom;
      const gb = gram + row * b.atom;
      if (touches) kernel.touchTwo(ga, gb, width);
      kernel.advanceTwo(
        correlations + row * a.row,
        ga,
        a.value,
        winners + LINE * a.index,
        correlations + row * b.row,
        gb,
        b.value,
        winners + LINE * b.index,
        width,
      );
    }
  }

  /** One step of a row whose winners stand ready: the selection, its effect on the residual, and the tests after it. */
  #select(lane: Lane, job: RowJob, gram: boolean): void {
    const { row } = lane;
    this.#readWinner(lane);
    const { atom, value, best } = lane;
    const { score } = this.#settings;
    // Negated comparisons: they hold for NaN, which ends a row that has diverged.
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
    if (stop !== GOES_ON) return this.#end(lane, job, stop);
    // What is explained exactly correlates with nothing.
    if (energy === 0) return this.#end(lane, job, STOPS.no_gain);
    if (this.#settings.reselect === "forbid") this.#forbid(row, atom);
    const stale = energy < job.freshEnergy[row]! * REFRESH_FALL || steps >= job.freshSteps[row]! + REFRESH_STEPS;
    if (stale && !renewed) this.#renew(lane, job);
    if (stale || !gram) {
      job.stops[row] = WAITS;
      lane.row = -1;
    }
  }

  /**
   * ||r||² after a selection. A running energy is enough while it is far from everything it is tested against; within
   * its error of a limit, or once it has fallen so far that its digits are gone, it is taken from x and z (docs/algorithm.md, Numerics).
   * @returns whether it was, and the residual with it
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
    // Negated: it holds for NaN as well.
    const fallen = !(energy >= fresh * REFRESH_FALL);
    const renew = fallen || nearLimit(job, row, lane.slack);
    if (renew) this.#renew(lane, job);
    return renew;
  }

  #readWinner(lane: Lane): void {
    let best = -Infinity;
    let shard = this.#shards[0]!;
    let index = 0;
    for (const one of this.#shards) {
      const at = (one.winners + LINE * lane.index) >> 2;
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

  /** NaN never wins. */
  #forbid(row: number, atom: number): void {
    for (const { from, count, width, correlations, floats } of this.#shards) {
      if (atom >= from && atom < from + count) floats[correlations / 4 + width * row + atom - from] = Number.NaN;
    }
  }

  /** The residual anew, from x and the selections so far, in float64. */
  #renew(lane: Lane, job: RowJob): void {
    const { row } = lane;
    const from = row * job.depth;
    const { rowWidth, residuals } = this.#arena;
    const energy = this.#remainder(lane, job, job.indices, job.values, job.steps[row]!);
    const [{ kernel }] = this.#shards as readonly [ShardView];
    kernel.narrow(residuals + 4 * rowWidth * row, this.#wideOf(lane), rowWidth);
    job.energy[row] = energy;
    job.energies[from + job.steps[row]! - 1] = energy;
    lane.slack = 0;
  }

  /** ||r||² after each selection, from x and the selections. */
  #traceEnergies(lane: Lane, job: RowJob): void {
    const { indices, values, energies, steps, depth } = job;
    const { rowWidth, atoms } = this.#arena;
    const [{ kernel }] = this.#shards as readonly [ShardView];
    const wide = this.#wideOf(lane);
    kernel.widen(wide, this.#xOf(lane, job), rowWidth);
    const from = lane.row * depth;
    for (let k = from; k < from + steps[lane.row]!; k++) {
      kernel.subtractWide(wide, atoms + 4 * rowWidth * indices[k]!, values[k]!, rowWidth);
      energies[k] = kernel.energyWide(wide, rowWidth);
    }
  }

  /** What `count` entries leave of the lane's row, in its wide row, in float64; its squared norm. */
  #remainder(lane: Lane, job: RowJob, indices: Uint32Array, values: Float32Array, count: number): number {
    const [{ kernel }] = this.#shards as readonly [ShardView];
    const from = lane.row * job.depth;
    const entries = { indices, values, from, to: from + count, touches: job.touches };
    return takeRemainder(kernel, this.#arena, this.#wideOf(lane), this.#xOf(lane, job), entries);
  }

  #xOf = ({ row }: Lane, { rows }: RowJob): number => rows + 4 * this.#arena.rowWidth * row;

  #wideOf = ({ index }: Lane): number => this.#arena.wide + 8 * this.#arena.rowWidth * index;

  /** The row is done: its code, merged and in order, with the final residual from x and z. */
  #end(lane: Lane, job: RowJob, stop: number): void {
    const { row } = lane;
    const from = row * job.depth;
    const finite = finiteSteps(job, from, 1, job.steps[row]!, job.unscale[row]!);
    // A row that diverges past float32 ends at its last finite step: from there nothing gains.
    job.stops[row] = finite < job.steps[row]! ? STOPS.no_gain : stop;
    job.steps[row] = finite;
    if (job.traced) this.#traceEnergies(lane, job);
    const entries = lane.merge(job, from, finite);
    job.entries[row] = entries;
    job.finalEnergy[row] = this.#remainder(lane, job, job.codeIndices, job.codeValues, entries);
    if (job.remainders.length > 0) {
      const { d } = this.#arena.shape;
      const wide = new Float64Array(this.#shards[0]!.memory.buffer, this.#wideOf(lane), d);
      job.remainders.set(wide, row * d);
    }
    lane.row = -1;
  }
}
