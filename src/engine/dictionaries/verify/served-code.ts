import { type SparseCodes, STOP_REASONS, type StopReason } from "../../core/sparse-codes.ts";

/** One row's code as it was served, with its trace. */
export interface ServedCode {
  /** Ascending. */
  readonly indices: ArrayLike<number>;
  readonly values: ArrayLike<number>;
  readonly stop: StopReason;
  readonly trace: { readonly indices: ArrayLike<number>; readonly values: ArrayLike<number> };
  /** ||r|| after each selection. */
  readonly residualNorms: ArrayLike<number>;
  readonly norm?: { readonly shift: number; readonly scale: number };
  /** Labels beside `indices`, where a server was asked for them. */
  readonly labels?: readonly (string | null)[];
}

/** Traced codes, row by row. */
export function servedCodes({ count, indptr, indices, values, stops, norm, trace }: SparseCodes): ServedCode[] {
  if (!trace) throw new Error("the codes were encoded without a trace");
  return Array.from({ length: count }, (_, i) => {
    const [from, to] = [indptr[i]!, indptr[i + 1]!];
    const [first, last] = [trace.indptr[i]!, trace.indptr[i + 1]!];
    return {
      indices: indices.subarray(from, to),
      values: values.subarray(from, to),
      stop: STOP_REASONS[stops[i]!]!,
      trace: { indices: trace.indices.subarray(first, last), values: trace.values.subarray(first, last) },
      residualNorms: trace.residualNorms?.subarray(first, last) ?? [],
      ...(norm && { norm: { shift: norm.shift[i]!, scale: norm.scale[i]! } }),
    };
  });
}
