import { type Arena, LINE } from "./arena.ts";
import { instantiatePursuitKernel } from "./pursuit-kernel.ts";

/** Bytes of Gram rows that one turn reads. */
const TURN_BYTES = 1 << 21;

/** Distance between successive atoms, modulo m: large, as in a pursuit. */
const STRIDE = 2_654_435_761;

/**
 * Measures whether steps are faster with prefetched Gram rows (assembly/prefetch.ts; the trial's second way). They are
 * when the matrix exceeds the cache. The result also decides whether a code's atoms are prefetched, because the matrix
 * evicts them. Run it only between batches: it uses slots 0 and 1.
 */
export function createPrefetchTrial(module: WebAssembly.Module, { shards, shape }: Arena): PairedTrial {
  const [{ memory, gram, width, correlations, argmaxes }] = shards as readonly [Arena["shards"][number]];
  const kernel = instantiatePursuitKernel(module, memory, false);
  const pairs = Math.max(1, Math.floor(TURN_BYTES / (8 * width)));
  let turn = 0;
  const nextRow = (): number => gram + 4 * width * ((turn++ * STRIDE) % shape.m);
  const run = (prefetched: boolean): void => {
    for (let i = 0; i < pairs; i++) {
      const [a, b] = [nextRow(), nextRow()];
      if (prefetched) kernel.prefetchTwo(a, b, width);
      // Factor 0: no correlation changes.
      kernel.advanceTwo(correlations, a, 0, argmaxes, correlations + 4 * width, b, 0, argmaxes + LINE, width);
    }
  };
  return new PairedTrial([() => run(false), () => run(true)]);
}

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
