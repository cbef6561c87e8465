/**
 * Loads whose values nobody wants: they bring rows of `width` float32, a multiple of 64, into the cache before a loop that
 * computes reads them. A window of a processor holds hundreds of instructions, a dozen lines of such a loop, but every
 * line that it can wait for at once of this one. A load may trap, so no compiler leaves it out.
 */

/** Bytes of a cache line, and of one turn. */
const LINE: usize = 64;
const TURN: usize = 4 * LINE;

/** A row of the Gram matrix. */
export function touch(g: usize, width: u32): void {
  for (const end = g + ((<usize>width) << 2); g < end; g += TURN) {
    v128.load(g);
    v128.load(g, LINE);
    v128.load(g, 2 * LINE);
    v128.load(g, 3 * LINE);
  }
}

/** Two of them, side by side: two streams for the prefetcher. */
export function touchTwo(g1: usize, g2: usize, width: u32): void {
  for (const end = g1 + ((<usize>width) << 2); g1 < end; g1 += TURN, g2 += TURN) {
    v128.load(g1);
    v128.load(g2);
    v128.load(g1, LINE);
    v128.load(g2, LINE);
    v128.load(g1, 2 * LINE);
    v128.load(g2, 2 * LINE);
    v128.load(g1, 3 * LINE);
    v128.load(g2, 3 * LINE);
  }
}
