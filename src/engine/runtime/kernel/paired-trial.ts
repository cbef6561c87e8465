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
  #ratio = Number.NaN;

  constructor(ways: readonly [() => void, () => void], now: () => number = () => performance.now()) {
    this.#ways = ways;
    this.#now = now;
  }

  /** One turn of each way, either first. @returns whether there are more to do */
  step(): boolean {
    if (this.#turns === WARM_UP + MEASURED) return false;
    const taken: [number, number] = [0, 0];
    for (const way of this.#turns % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      taken[way] = this.#time(this.#ways[way]);
    }
    if (this.#turns++ >= WARM_UP) this.#ratios.push(taken[1] / taken[0]);
    if (this.#turns < WARM_UP + MEASURED) return true;
    this.#ratio = this.#ratios.toSorted((a, b) => a - b)[MEASURED >> 1]!;
    return false;
  }

  /** Time of the second way as a share of the first's; NaN until the last turn. */
  get ratio(): number {
    return this.#ratio;
  }

  #time(way: () => void): number {
    const started = this.#now();
    way();
    return this.#now() - started;
  }
}
