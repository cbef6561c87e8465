/** What bounds a pursuit by the Gram matrix: one dense pass, then one row of the matrix read for each further step. */
export interface Bounds {
  /** Microseconds a row of one dense pass, measured at the same batch. */
  readonly denseUs: number;
  readonly steps: number;
  readonly m: number;
  /** Of all threads together, reading in order from beyond the caches; measured. */
  readonly bytesPerSecond: number;
}

/** Bytes of Gram matrix that a row's pursuit reads: the first step takes its correlations from the dense pass. */
export const gramBytes = (steps: number, m: number): number => Math.max(0, steps - 1) * m * 4;

/** Microseconds a row below which no such pursuit comes. */
export function rooflineUs({ denseUs, steps, m, bytesPerSecond }: Bounds): number {
  return denseUs + (gramBytes(steps, m) / bytesPerSecond) * 1e6;
}

/** The share of the roofline that a path must reach, and from how many atoms on. */
export const ROOFLINE_GOAL = { share: 0.6, fromAtoms: 8192 } as const;

/**
 * Bytes a row that a pursuit by the Gram matrix moves through a card's memory at least, where a row's correlations do not
 * stay in cache: its share of the atoms for the dense pass, the correlations that this writes, and for each further step a
 * Gram row read and the correlations read and written.
 */
export function cardBytes({ d, m, steps, batch }: Record<"d" | "m" | "steps" | "batch", number>): number {
  return (4 * m * d) / batch + 4 * m + 3 * gramBytes(steps, m);
}
