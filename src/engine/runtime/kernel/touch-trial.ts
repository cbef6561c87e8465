import { type Arena, LINE } from "./arena.ts";
import { PairedTrial } from "./paired-trial.ts";
import { instantiatePursuitKernel } from "./pursuit-kernel.ts";

/** Bytes of Gram rows that one turn reads. */
const TURN_BYTES = 1 << 21;

/** Atoms from one to the next, modulo m: far apart, as a pursuit's are. */
const STRIDE = 2_654_435_761;

/**
 * Whether steps go faster when the rows of a complete Gram matrix are touched before they are used (assembly/touch.ts):
 * the trial's second way. They do where the matrix is larger than the cache and the processor waits for memory; a matrix
 * within the cache only costs its rows twice. A code's atoms are touched where those rows are: from a cache that the matrix
 * goes through they are gone as well. Between two batches only: it works in slots 0 and 1.
 */
export function createTouchTrial(module: WebAssembly.Module, { shards, shape }: Arena): PairedTrial {
  const [{ memory, gram, width, correlations, winners }] = shards as readonly [Arena["shards"][number]];
  const kernel = instantiatePursuitKernel(module, memory, false);
  const pairs = Math.max(1, Math.floor(TURN_BYTES / (8 * width)));
  let turn = 0;
  const nextRow = (): number => gram + 4 * width * ((turn++ * STRIDE) % shape.m);
  const run = (touched: boolean): void => {
    for (let i = 0; i < pairs; i++) {
      const [a, b] = [nextRow(), nextRow()];
      if (touched) kernel.touchTwo(a, b, width);
      // By nothing: no correlation changes.
      kernel.advanceTwo(correlations, a, 0, winners, correlations + 4 * width, b, 0, winners + LINE, width);
    }
  };
  return new PairedTrial([() => run(false), () => run(true)]);
}
