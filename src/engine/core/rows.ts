/**
 * A batch of activation vectors, row-major: row i is `data.subarray(i * width, (i + 1) * width)`.
 * Every value is finite and `data.length === count * width`; whoever builds one from the outside checks that.
 */
export interface Rows {
  readonly data: Float32Array;
  /** Number of rows, n ≥ 0. */
  readonly count: number;
  /** Length d of one row. */
  readonly width: number;
  /** Layers side by side in a row; absent: one. Answers nest a row's numbers by them. */
  readonly layers?: number;
}
