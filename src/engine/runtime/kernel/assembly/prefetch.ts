/**
 * Prefetches rows of `width` float32 by loads whose values are dropped (docs/decisions/0005). The out-of-order window holds
 * about a dozen cache lines of a computing loop, but of this loop as many as a core can wait for at once. A load may trap, so
 * no compiler removes it. Reads whole turns: up to three lines beyond a row.
 */

/** Bytes of a cache line, and of one turn of the loop. */
const LINE: usize = 64;
const TURN: usize = 4 * LINE;

export function prefetch(row: usize, width: u32): void {
  for (const end = row + ((<usize>width) << 2); row < end; row += TURN) {
    v128.load(row);
    v128.load(row, LINE);
    v128.load(row, 2 * LINE);
    v128.load(row, 3 * LINE);
  }
}

/** Two rows at once: two streams for the hardware prefetcher. */
export function prefetchTwo(row1: usize, row2: usize, width: u32): void {
  for (const end = row1 + ((<usize>width) << 2); row1 < end; row1 += TURN, row2 += TURN) {
    v128.load(row1);
    v128.load(row2);
    v128.load(row1, LINE);
    v128.load(row2, LINE);
    v128.load(row1, 2 * LINE);
    v128.load(row2, 2 * LINE);
    v128.load(row1, 3 * LINE);
    v128.load(row2, 3 * LINE);
  }
}
