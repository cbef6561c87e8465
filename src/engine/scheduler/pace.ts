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
export class Pace {
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
