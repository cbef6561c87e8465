import type { CoreClient } from "./core-lease.ts";
import type { Lane, Lanes } from "./lanes.ts";
import type { Executor, Work } from "./work.ts";

/**
 * Milliseconds of runs that count. With fewer the speed would jump: a full queue would admit at moments when it looks
 * short, and those requests would wait longer than they were told.
 */
const HORIZON = 1000;

/** A batch counts for at most this many times its expected time: a pause of the machine is not a trend. */
const MOST = 4;

/** And for at least this share of its prediction, so that the ratio never reaches zero. */
const LEAST = 1e-3;

/**
 * Ratio of measured to predicted batch time, over recent runs. It covers what the prediction leaves out, such as
 * changed prices or a shared machine. A ratio of sums, not a mean of ratios: of two batches noticed at the same moment
 * the second seems to take no time.
 */
export class Calibration {
  #predicted = 0;
  #taken = 0;

  /** Measured milliseconds for that many predicted ones. */
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

/** Tolerance, so that rows which fill a batch exactly are not one too many by a rounding. */
const ROUNDING = 1e-9;

/** Predicted milliseconds of some rows, as asked and at their shortest. */
export interface Cost {
  readonly full: number;
  readonly least: number;
}

export interface WaitEstimatorOptions<W extends Work, R> {
  readonly executor: Pick<Executor<W, unknown>, "capacity" | "overhead" | "rowCost">;
  readonly holder: CoreClient;
  readonly lanes: () => Lanes<W, R>;
  /** Predicted milliseconds until everything sent is done. */
  readonly running: () => number;
  /** Predicted wait in milliseconds above which rows that allow it are shortened. */
  readonly degradeMs: number;
}

/**
 * Predicts the cost of rows, how many fit one batch, and how long one dictionary's requests will wait, at the measured
 * speed of batches.
 */
export class WaitEstimator<W extends Work, R> {
  readonly #options: WaitEstimatorOptions<W, R>;
  readonly #calibration = new Calibration();

  constructor(options: WaitEstimatorOptions<W, R>) {
    this.#options = options;
  }

  /** Predicted cost of a run beyond its rows. */
  get overhead(): number {
    return this.#options.executor.overhead;
  }

  /** Cost of rows that one batch has room for. */
  get room(): number {
    const { capacity, overhead } = this.#options.executor;
    return Math.max(capacity - overhead, capacity / 2);
  }

  /** Cost of rows [from, to) that keep this share of their cost beyond the minimum. */
  costOf(work: W, from: number, to: number, keep: number): number {
    const { executor } = this.#options;
    if (work.uniform) return (to - from) * executor.rowCost(work, from, keep);
    let cost = 0;
    for (let row = from; row < to; row++) cost += executor.rowCost(work, row, keep);
    return cost;
  }

  /** Cost of all rows of a work from `from` on. */
  costFrom(work: W, from: number): Cost {
    const full = this.costOf(work, from, work.count, 1);
    return { full, least: work.degrade ? this.costOf(work, from, work.count, 0) : full };
  }

  /** Counts the rows from `from` on that fit into the room. @returns their number and cost */
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

  /** Measured milliseconds for that many predicted ones. */
  measured(predicted: number): number {
    return this.#calibration.of(predicted);
  }

  learn(predicted: number, milliseconds: number): void {
    this.#calibration.learn(predicted, milliseconds);
  }

  /** Milliseconds of rows of this cost, with the runs that they fill. */
  timeOf(cost: number): number {
    return this.measured(cost + Math.ceil(cost / this.room) * this.overhead);
  }

  /** Milliseconds of everything that runs and waits. */
  backlog(): number {
    let length = this.#options.running();
    for (const lane of this.#options.lanes()) length += this.#lengthOf(lane);
    return length;
  }

  /** Predicted milliseconds until a request that joins this lane now would start. */
  waitOf(lane: Lane<W, R>): number {
    return this.#delayOf(lane, this.#lengthOf(lane));
  }

  /**
   * Share that this lane's rows may keep of their cost beyond the minimum, so that the wait stays within `degradeMs`.
   */
  keepOf(lane: Lane<W, R>): number {
    const { degradeMs } = this.#options;
    const lanes = this.#options.lanes();
    let { full, least } = lane;
    // A large request does not wait for itself.
    if (lane !== lanes.small && lane.head !== undefined) {
      full -= lane.head.cost.full;
      least -= lane.head.cost.least;
    }
    if (!(full > least)) return 1;
    const wait = this.#delayOf(lane, this.timeOf(full));
    if (wait <= degradeMs) return 1;
    return Math.min(1, Math.max(0, ((full * degradeMs) / wait - least) / (full - least)));
  }

  /** Milliseconds of a lane's rows: as asked or, if that is too long, with shortened rows. */
  #lengthOf(lane: Lane<W, R>): number {
    return Math.max(this.timeOf(lane.least), Math.min(this.timeOf(lane.full), this.#options.degradeMs));
  }

  /** Wait for a lane whose own rows take `length`: running batches, turns of other lanes, other dictionaries. */
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
