import { type SparseCodes, STOP_REASONS, type StopReason } from "../../src/engine/core/sparse-codes.ts";

export interface CodeRow {
  /** Ascending. */
  readonly entries: readonly (readonly [index: number, value: number])[];
  readonly residualNorm?: number;
  readonly relativeError?: number;
  readonly stop?: StopReason;
  readonly norm?: { readonly shift: number; readonly scale: number };
  readonly trace?: readonly (readonly [index: number, value: number, residualNorm: number])[];
  readonly reconstruction?: readonly number[];
  /** Equally many in each row. */
  readonly correlations?: readonly (readonly [index: number, value: number])[];
}

/** Turns rows into the engine's columns. All rows must have the columns of the first. */
export function codesOf(rows: readonly CodeRow[], width: number): SparseCodes {
  const [first] = rows;
  const entries = rows.flatMap((row) => row.entries);
  const traces = rows.map(({ trace = [] }) => trace);
  return {
    count: rows.length,
    width,
    indptr: pointers(rows.map((row) => row.entries.length)),
    indices: Uint32Array.from(entries, ([index]) => index),
    values: Float32Array.from(entries, ([, value]) => value),
    steps: Uint32Array.from(rows, (row) => row.trace?.length ?? row.entries.length),
    stops: Uint8Array.from(rows, ({ stop = "max_atoms" }) => STOP_REASONS.indexOf(stop)),
    residualNorms: Float32Array.from(rows, ({ residualNorm = 0 }) => residualNorm),
    relativeErrors: Float32Array.from(rows, ({ relativeError = 0 }) => relativeError),
    ...(first?.norm && {
      norm: {
        shift: Float32Array.from(rows, ({ norm }) => norm!.shift),
        scale: Float32Array.from(rows, ({ norm }) => norm!.scale),
      },
    }),
    ...(first?.trace && {
      trace: {
        indptr: pointers(traces.map(({ length }) => length)),
        indices: Uint32Array.from(traces.flat(), ([index]) => index),
        values: Float32Array.from(traces.flat(), ([, value]) => value),
        residualNorms: Float32Array.from(traces.flat(), ([, , norm]) => norm),
      },
    }),
    ...(first?.reconstruction && {
      reconstruction: Float32Array.from(rows.flatMap(({ reconstruction }) => reconstruction!)),
    }),
    ...(first?.correlations && {
      correlations: {
        indices: Uint32Array.from(rows.flatMap(({ correlations }) => correlations!.map(([index]) => index))),
        values: Float32Array.from(rows.flatMap(({ correlations }) => correlations!.map(([, value]) => value))),
      },
    }),
  };
}

function pointers(lengths: readonly number[]): Uint32Array {
  const indptr = new Uint32Array(lengths.length + 1);
  for (const [i, length] of lengths.entries()) indptr[i + 1] = indptr[i]! + length;
  return indptr;
}
