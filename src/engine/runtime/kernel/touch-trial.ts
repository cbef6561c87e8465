import { type Arena, LINE } from "./arena.ts";
import { PairedTrial } from "./paired-trial.ts";
import { instantiatePursuitKernel } from "./pursuit-kernel.ts";

/** Bytes of Gram rows that one turn reads. */
const TURN_BYTES = 1 << 21;

/** Distance between successive atoms, modulo m: large, as in a pursuit. */
const STRIDE = 2_654_435_761;

/**
 * Measures whether steps are faster with prefetched Gram rows (assembly/touch.ts; the trial's second way). They are
 * when the matrix exceeds the cache. The result also decides whether a code's atoms are prefetched, because the matrix
 * evicts them. Run it only between batches: it uses slots 0 and 1.
 */
export function createTouchTrial(module: WebAssembly.Module, { shards, shape }: Arena): PairedTrial {
  const [{ memory, gram, width, correlations, argmaxes }] = shards as readonly [Arena["shards"][number]];
  const kernel = instantiatePursuitKernel(module, memory, false);
  const pairs = Math.max(1, Math.floor(TURN_BYTES / (8 * width)));
  let turn = 0;
  const nextRow = (): number => gram + 4 * width * ((turn++ * STRIDE) % shape.m);
  const run = (touched: boolean): void => {
    for (let i = 0; i < pairs; i++) {
      const [a, b] = [nextRow(), nextRow()];
      if (touched) kernel.touchTwo(a, b, width);
      // Factor 0: no correlation changes.
      kernel.advanceTwo(correlations, a, 0, argmaxes, correlations + 4 * width, b, 0, argmaxes + LINE, width);
    }
  };
  return new PairedTrial([() => run(false), () => run(true)]);
}
