/**
 * Loads whose values nobody wants: they bring rows of `width` float32 into the cache before a loop that computes reads
 * them. A processor's window holds some hundred instructions: a dozen lines of a loop that computes, but of this one as
 * many as it can wait for at once. A load may trap, so no compiler leaves it out. Whole turns are read, up to three lines
 * beyond a row.
 */

/** Bytes of a cache line, and of one turn. */
const LINE: usize = 64;
const TURN: usize = 4 * LINE;

export function touch(row: usize, width: u32): void {
  for (const end = row + ((<usize>width) << 2); row < end; row += TURN) {
    v128.load(row);
    v128.load(row, LINE);
    v128.load(row, 2 * LINE);
    v128.load(row, 3 * LINE);
  }
}

/** Two rows, side by side: two streams for the prefetcher. */
export function touchTwo(row1: usize, row2: usize, width: u32): void {
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
