import type { EncodeBatch } from "../../core/encode-batch.ts";
import {
  codesOfColumns,
  type CodesToDecode,
  columnsOfCodes,
  type Correlations,
  type SparseCodes,
} from "../../core/sparse-codes.ts";
import type { SteerBatch, SteeredBatch } from "../../core/steer-batch.ts";
import { type Column, type Columns, FrameError } from "./frame.ts";

/** Layout of batches and codes in the columns of a frame, for both directions. */

function take<T extends Column>(columns: Columns, name: string, type: new (length: number) => T): T {
  const column = columns[name];
  if (!(column instanceof type)) throw new FrameError(`the frame holds no ${type.name} column ${name}`);
  return column;
}

export function batchFromColumns(
  head: Pick<EncodeBatch, "count" | "trace" | "reconstruction" | "pursuit">,
  columns: Columns,
): EncodeBatch {
  return {
    rows: take(columns, "rows", Float32Array),
    count: head.count,
    budgets: {
      maxAtoms: take(columns, "maxAtoms", Int32Array),
      tolerance: take(columns, "tolerance", Float64Array),
      residualNorm: take(columns, "residualNorm", Float64Array),
      minGain: take(columns, "minGain", Float64Array),
      group: take(columns, "group", Int32Array),
    },
    trace: head.trace,
    reconstruction: head.reconstruction,
    ...(head.pursuit && { pursuit: head.pursuit }),
    ...(columns["targets"] && { targets: take(columns, "targets", Float32Array) }),
  };
}

export const codesColumns = (codes: SparseCodes): Columns => Object.fromEntries(columnsOfCodes(codes));

export function codesFromColumns(
  shape: { readonly count: number; readonly width: number },
  columns: Columns,
): SparseCodes {
  return codesOfColumns(shape, ({ name, type }) => (columns[name] ? take(columns, name, type) : undefined));
}

export function codesToDecodeColumns({ indptr, indices, values, inputs, norm }: CodesToDecode): Columns {
  return {
    indptr,
    indices,
    values,
    ...(inputs && { inputs }),
    ...(norm && { shift: norm.shift, scale: norm.scale }),
  };
}

export function codesToDecodeFromColumns(count: number, columns: Columns): CodesToDecode {
  return {
    count,
    indptr: take(columns, "indptr", Uint32Array),
    indices: take(columns, "indices", Uint32Array),
    values: take(columns, "values", Float32Array),
    ...(columns["inputs"] && { inputs: take(columns, "inputs", Float32Array) }),
    ...normFromColumns(columns),
  };
}

function normFromColumns(columns: Columns): Pick<SparseCodes, "norm"> {
  if (!columns["shift"]) return {};
  return { norm: { shift: take(columns, "shift", Float32Array), scale: take(columns, "scale", Float32Array) } };
}

export function steerColumns({ rows, delta, directions }: SteerBatch): Columns {
  const { scale, ...entries } = delta;
  return { rows, ...entries, ...directions, ...(scale && { scale }) };
}

export function steerFromColumns(count: number, columns: Columns): SteerBatch {
  return {
    rows: take(columns, "rows", Float32Array),
    count,
    delta: {
      indptr: take(columns, "indptr", Uint32Array),
      indices: take(columns, "indices", Uint32Array),
      values: take(columns, "values", Float64Array),
      ...(columns["scale"] && { scale: take(columns, "scale", Float32Array) }),
    },
    directions: {
      ops: take(columns, "ops", Uint8Array),
      features: take(columns, "features", Int32Array),
      vectors: take(columns, "vectors", Float32Array),
      strengths: take(columns, "strengths", Float64Array),
      relative: take(columns, "relative", Uint8Array),
      min: take(columns, "min", Float64Array),
      max: take(columns, "max", Float64Array),
      applies: take(columns, "applies", Uint8Array),
    },
  };
}

export const steeredColumns = ({ rows, norms, before, after }: SteeredBatch): Columns => ({
  rows,
  norms,
  before,
  after,
});

export function steeredFromColumns(columns: Columns): SteeredBatch {
  return {
    rows: take(columns, "rows", Float32Array),
    norms: take(columns, "norms", Float64Array),
    before: take(columns, "before", Float64Array),
    after: take(columns, "after", Float64Array),
  };
}

export function rowsFromColumns(columns: Columns): Float32Array {
  return take(columns, "rows", Float32Array);
}

export function correlationsFromColumns(columns: Columns): Correlations {
  return { indices: take(columns, "indices", Uint32Array), values: take(columns, "values", Float32Array) };
}

export function indicesFromColumns(columns: Columns): Uint32Array {
  return take(columns, "indices", Uint32Array);
}

export function normsFromColumns(columns: Columns): Float64Array {
  return take(columns, "norms", Float64Array);
}
