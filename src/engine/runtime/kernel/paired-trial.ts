/** Warm-up turns: WebAssembly is optimised while it runs. */
const WARM_UP = 32;

/** Measured turns. */
const MEASURED = 17;

/**
 * Compares the time of two ways to do the same work on this machine. They alternate, so other load affects both alike;
 * the median of the ratios counts.
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

  /** Runs one turn of each way, first and second alternating. @returns whether more turns are needed */
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

  /** Time of the second way over the first's; NaN until the last turn. */
  get ratio(): number {
    return this.#ratio;
  }

  #time(way: () => void): number {
    const started = this.#now();
    way();
    return this.#now() - started;
  }
}
