/** Weight of the newest batch: about the last ten count. */
const LEARNING_RATE = 0.2;

/** A batch counts for this factor at most: a pause of the machine is not a trend. */
const MOST = 4;

/**
 * How long batches really take for each predicted millisecond, as measured of late: what the prediction leaves out
 * (prices that have changed since a request came, a machine that is shared with others) is in it.
 */
export class Pace {
  #factor = 1;

  /** Real milliseconds of that many predicted ones. */
  of(predicted: number): number {
    return predicted * this.#factor;
  }

  learn(predicted: number, milliseconds: number): void {
    const ratio = Math.max(milliseconds, 1e-3) / (predicted * this.#factor);
    this.#factor *= Math.min(MOST, Math.max(1 / MOST, ratio)) ** LEARNING_RATE;
  }
}
