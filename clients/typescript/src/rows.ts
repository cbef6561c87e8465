/** Rows [n, d] in one array, row-major: row i is `data.subarray(i * d, (i + 1) * d)`. */
export interface Matrix {
  readonly data: Float32Array | Float64Array;
  /** [n, d] */
  readonly shape: readonly [number, number];
}

/** Rows as a matrix, or each as a list of d numbers. */
export type RowsLike = Matrix | readonly ArrayLike<number>[];

/** @throws RangeError for rows of several lengths, or data of another length than its shape says */
export function toMatrix(rows: RowsLike): Matrix {
  if ("data" in rows) {
    const [n, d] = rows.shape;
    if (n * d === rows.data.length) return rows;
    throw new RangeError(`shape [${n}, ${d}] is ${n * d} numbers, but data holds ${rows.data.length}.`);
  }
  const width = rows[0]?.length ?? 0;
  const data = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    if (row.length !== width) throw new RangeError(`Row ${i} has ${row.length} numbers, row 0 has ${width}.`);
    data.set(row, i * width);
  });
  return { data, shape: [rows.length, width] };
}

/** Rows from up to to, as a view. */
export function slice({ data, shape: [, d] }: Matrix, from: number, to: number): Matrix {
  return { data: data.subarray(from * d, to * d), shape: [to - from, d] };
}

/** The numbers as bytes to send, little-endian as every machine's that browsers and Node run on. */
export const bytesOf = ({ data }: Matrix): Uint8Array<ArrayBuffer> =>
  new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);

/** One list of numbers a row, for JSON. */
export function listsOf({ data, shape: [n, d] }: Matrix): number[][] {
  return Array.from({ length: n }, (_, i) => [...data.subarray(i * d, (i + 1) * d)]);
}
