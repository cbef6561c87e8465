/** Weight of the newest batch: about the last ten count. */
const LEARNING_RATE = 0.2;

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
    this.#taken += LEARNING_RATE * (taken - this.#taken);
    this.#predicted += LEARNING_RATE * (predicted - this.#predicted);
  }
}
