import type { LeaseHolder } from "./core-lease.ts";
import type { Lane, Lanes } from "./lanes.ts";
import type { Executor, Work } from "./work.ts";

/**
 * Milliseconds of runs that count. Of fewer the pace would jump: a full queue then admits in the moments in which it
 * looks short, and those admitted wait for longer than they were told.
 */
const HORIZON = 1000;

/** A batch counts for this many times what was expected at most: a pause of the machine is not a trend. */
const MOST = 4;

/** And for this much of its prediction at least, so that the pace never comes to nothing. */
const LEAST = 1e-3;

/**
 * How long batches really take for each predicted millisecond, as measured of late: what the prediction leaves out
 * (prices that have changed since a request came, a machine that is shared with others) is in it. A ratio of sums, not a
 * mean of ratios: of two batches that are noticed at the same moment the second seems to have taken no time.
 */
export class Calibration {
  #predicted = 0;
  #taken = 0;

  /** Real milliseconds of that many predicted ones. */
  of(predicted: number): number {
    return this.#predicted === 0 ? predicted : (predicted * this.#taken) / this.#predicted;
  }

  learn(predicted: number, milliseconds: number): void {
    const taken = Math.min(Math.max(milliseconds, predicted * LEAST), this.of(predicted) * MOST);
    const kept = Math.exp(-taken / HORIZON);
    this.#taken = kept * this.#taken + taken;
    this.#predicted = kept * this.#predicted + predicted;
  }
}

/** So that rows which fill a batch exactly are not one too many by the last bit of a division. */
const ROUNDING = 1e-9;

/** Predicted milliseconds of some rows as asked, and when they are shortened as far as they may be. */
export interface Cost {
  readonly full: number;
  readonly least: number;
}

export interface WaitEstimatorOptions<W extends Work, R> {
  readonly executor: Pick<Executor<W, unknown>, "capacity" | "overhead" | "rowCost">;
  readonly holder: LeaseHolder;
  readonly lanes: () => Lanes<W, R>;
  /** Predicted milliseconds until what has been sent to run is done. */
  readonly running: () => number;
  /** Milliseconds of predicted waiting over which rows that allow it are shortened. */
  readonly degradeWait: number;
}

/**
 * What rows cost by an executor's predictions, how much of them one batch has room for, and how long requests of one
 * dictionary will wait, at the speed that batches really have.
 */
export class WaitEstimator<W extends Work, R> {
  readonly #options: WaitEstimatorOptions<W, R>;
  readonly #calibration = new Calibration();

  constructor(options: WaitEstimatorOptions<W, R>) {
    this.#options = options;
  }

  /** Predicted cost of a run beyond that of its rows. */
  get overhead(): number {
    return this.#options.executor.overhead;
  }

  /** Cost of rows that one batch has room for. */
  get room(): number {
    const { capacity, overhead } = this.#options.executor;
    return Math.max(capacity - overhead, capacity / 2);
  }

  /** Rows [from, to) that keep that share of what they may cost beyond their least. */
  costOf(work: W, from: number, to: number, keep: number): number {
    const { executor } = this.#options;
    if (work.uniform) return (to - from) * executor.rowCost(work, from, keep);
    let cost = 0;
    for (let row = from; row < to; row++) cost += executor.rowCost(work, row, keep);
    return cost;
  }

  /** All rows of a work from there on. */
  costFrom(work: W, from: number): Cost {
    const full = this.costOf(work, from, work.count, 1);
    return { full, least: work.degrade ? this.costOf(work, from, work.count, 0) : full };
  }

  /** How many rows from there on fit into the room, and their cost. */
  fit(work: W, from: number, room: number, keep: number): [rows: number, cost: number] {
    const { executor } = this.#options;
    const left = work.count - from;
    if (work.uniform) {
      const each = executor.rowCost(work, from, keep);
      const rows = Math.max(0, Math.min(left, Math.floor(room / each + ROUNDING)));
      return [rows, rows * each];
    }
    let cost = 0;
    for (let rows = 0; rows < left; rows++) {
      const more = cost + executor.rowCost(work, from + rows, keep);
      if (more > room) return [rows, cost];
      cost = more;
    }
    return [left, cost];
  }

  /** Measured milliseconds of that many predicted ones. */
  measured(predicted: number): number {
    return this.#calibration.of(predicted);
  }

  learn(predicted: number, milliseconds: number): void {
    this.#calibration.learn(predicted, milliseconds);
  }

  /** Milliseconds that rows of this cost take, with the runs that they fill. */
  timeOf(cost: number): number {
    return this.measured(cost + Math.ceil(cost / this.room) * this.overhead);
  }

  /** Milliseconds of all that runs and waits. */
  backlog(): number {
    let length = this.#options.running();
    for (const lane of this.#options.lanes()) length += this.#lengthOf(lane);
    return length;
  }

  /** Predicted milliseconds until a request that joins this lane now would start. */
  waitOf(lane: Lane<W, R>): number {
    return this.#delayOf(lane, this.#lengthOf(lane));
  }

  /** Of what rows of this lane that may be shortened would cost beyond their least, the share that the wait allows. */
  keepOf(lane: Lane<W, R>): number {
    const { degradeWait } = this.#options;
    const lanes = this.#options.lanes();
    let { full, least } = lane;
    // A large request does not wait for itself.
    if (lane !== lanes.small && lane.head !== undefined) {
      full -= lane.head.cost.full;
      least -= lane.head.cost.least;
    }
    if (!(full > least)) return 1;
    const wait = this.#delayOf(lane, this.timeOf(full));
    if (wait <= degradeWait) return 1;
    return Math.min(1, Math.max(0, ((full * degradeWait) / wait - least) / (full - least)));
  }

  /** Milliseconds that a lane's rows will take: as asked, or, where that is too long, with those shortened that may be. */
  #lengthOf(lane: Lane<W, R>): number {
    return Math.max(this.timeOf(lane.least), Math.min(this.timeOf(lane.full), this.#options.degradeWait));
  }

  /** The wait for a lane if its own rows took so long: what runs, the others' turns, and other dictionaries'. */
  #delayOf(lane: Lane<W, R>, length: number): number {
    const { holder, running } = this.#options;
    const lanes = this.#options.lanes();
    const allowance = lanes.allowanceOf(lane);
    let own = running() + length;
    for (const other of lanes) {
      if (other === lane || other.head === undefined) continue;
      const turns = Math.max(1, Math.ceil(length / this.timeOf(allowance)));
      own += Math.min(this.#lengthOf(other), turns * this.timeOf(lanes.allowanceOf(other)));
    }
    return holder.delay(own);
  }
}
