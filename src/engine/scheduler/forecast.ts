import type { LeaseHolder } from "./core-lease.ts";
import type { Work } from "./executor.ts";
import type { Lane } from "./lane.ts";
import type { Lanes } from "./lanes.ts";
import type { Pace } from "./pace.ts";
import type { Prices } from "./prices.ts";

export interface ForecastOptions<W extends Work, R> {
  readonly lanes: Lanes<W, R>;
  readonly prices: Prices<W>;
  readonly pace: Pace;
  readonly holder: LeaseHolder;
  /** Predicted milliseconds until what has been sent to run is done. */
  readonly running: () => number;
  /** Milliseconds of predicted waiting over which rows that allow it are shortened. */
  readonly degradeWait: number;
}

/** How long requests of one dictionary will wait, at the pace that batches really have. */
export class Forecast<W extends Work, R> {
  readonly #options: ForecastOptions<W, R>;

  constructor(options: ForecastOptions<W, R>) {
    this.#options = options;
  }

  /** Milliseconds that runs of this cost take together. */
  timeOf(cost: number): number {
    const { pace, prices } = this.#options;
    return pace.of(prices.withRuns(cost));
  }

  /** Milliseconds of all that runs and waits. */
  backlog(): number {
    let length = this.#options.running();
    for (const lane of this.#options.lanes) length += this.#lengthOf(lane);
    return length;
  }

  /** Predicted milliseconds until a request that joins this lane now would start. */
  waitOf(lane: Lane<W, R>): number {
    return this.#delayOf(lane, this.#lengthOf(lane));
  }

  /** Of what rows of this lane that may be shortened would cost beyond their least, the share that the wait allows. */
  keepOf(lane: Lane<W, R>): number {
    const { lanes, degradeWait } = this.#options;
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
    const { lanes, holder, running } = this.#options;
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
