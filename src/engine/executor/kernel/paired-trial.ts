/** Turns before those that count: WebAssembly is compiled anew, and well, while it runs. */
const WARM_UP = 32;

/** Turns that count. */
const MEASURED = 17;

/**
 * Which of two ways to do the same work takes less time on this machine: both in turns, so that what else it does falls
 * on both alike, and by the median of their ratios.
 */
export class PairedTrial {
  readonly #ways: readonly [() => void, () => void];
  readonly #now: () => number;
  readonly #ratios: number[] = [];
  #turns = 0;

  constructor(ways: readonly [() => void, () => void], now: () => number = () => performance.now()) {
    this.#ways = ways;
    this.#now = now;
  }

  /** One turn of each way, either first. @returns whether there are more to do */
  step(): boolean {
    if (this.#turns === WARM_UP + MEASURED) return false;
    const [first, second] = this.#ways;
    const swapped = this.#turns % 2 === 1;
    const early = swapped ? this.#time(second) : 0;
    const other = this.#time(first);
    const taken = swapped ? early : this.#time(second);
    if (this.#turns++ >= WARM_UP) this.#ratios.push(taken / other);
    return this.#turns < WARM_UP + MEASURED;
  }

  /** Time of the second way as a share of the first's; NaN before any turn counted. */
  get ratio(): number {
    const sorted = this.#ratios.toSorted((a, b) => a - b);
    return sorted[sorted.length >> 1] ?? Number.NaN;
  }

  #time(way: () => void): number {
    const started = this.#now();
    way();
    return this.#now() - started;
  }
}
