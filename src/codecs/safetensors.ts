import type { Rows } from "../engine/core/rows.ts";
import {
  CODE_COLUMNS,
  type CodeColumn,
  columnsOfCodes,
  type SparseCodes,
  STOP_REASONS,
} from "../engine/core/sparse-codes.ts";
import { denseRow, type EncodeAnswerHead, labelColumns, shapeOf, summaryFields } from "./write-codes.ts";

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: CodeColumn;
}

/**
 * Writes an encode answer: sparse and csr as `indptr`, `indices`, `values`, dense as `values` [n, m]; `steps`, `stop`
 * (positions in `stop_names` of the metadata), `residual_norm`, `relative_error`; `norm_…`, `trace_…` and
 * `reconstruction` and `correlations_…` [n, k] if present. Other fields are in the metadata, as text.
 */
export function writeSafetensors(codes: SparseCodes, head: EncodeAnswerHead): Buffer<ArrayBuffer> {
  const { count, width } = codes;
  const { format, labels, shape, totalVariance, encoder, warning } = head;
  const columns = columnsOfCodes(codes);
  if (format === "dense") {
    columns.delete("indptr");
    columns.delete("indices");
    columns.set("values", denseRows(codes));
  }
  const matrices = new Set(CODE_COLUMNS.filter(({ extent }) => extent === "values").map(({ name }) => name));
  if (format === "dense") matrices.add("values");
  const tensors = Array.from(columns, ([name, data]): Tensor => {
    const matrix = matrices.has(name);
    return { name, shape: matrix ? [count, data.length / count] : [data.length], data };
  });
  return assemble(tensors, {
    dictionary: head.dictionary,
    sha256: head.sha256,
    ...(encoder && { encoder: JSON.stringify(encoder) }),
    ...(warning && { warning }),
    shape: JSON.stringify([count, width]),
    stop_names: JSON.stringify(STOP_REASONS),
    ...Object.fromEntries(
      Object.entries(summaryFields(codes, totalVariance)).map(([name, value]) => [name, String(value)]),
    ),
    ...(shape && { inputs_shape: JSON.stringify(shape) }),
    ...(labels &&
      Object.fromEntries(Object.entries(labelColumns(labels)).map(([name, texts]) => [name, JSON.stringify(texts)]))),
  });
}

/** Writes rows as the tensor `outputs`: a decode answer. */
export function writeRowsSafetensors(rows: Rows): Buffer<ArrayBuffer> {
  return assemble([{ name: "outputs", shape: shapeOf(rows), data: rows.data }], {});
}

function denseRows(codes: SparseCodes): Float32Array {
  const { count, width } = codes;
  const dense = new Float32Array(count * width);
  for (let i = 0; i < count; i++) denseRow(codes, i, dense, i * width);
  return dense;
}

const dtypeOf = (data: CodeColumn): string =>
  data instanceof Float32Array ? "F32" : data instanceof Uint32Array ? "U32" : "U8";

/** u64 length of the header, the header padded to a multiple of eight, the data in the order of their offsets. */
function assemble(tensors: readonly Tensor[], metadata: Readonly<Record<string, string>>): Buffer<ArrayBuffer> {
  let at = 0;
  const entries = tensors.map(({ name, shape, data }) => {
    const from = at;
    at += data.byteLength;
    return [name, { dtype: dtypeOf(data), shape, data_offsets: [from, at] }] as const;
  });
  const json = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) });
  const length = Math.ceil(Buffer.byteLength(json) / 8) * 8;
  const bytes = Buffer.allocUnsafeSlow(8 + length + at);
  bytes.writeBigUInt64LE(BigInt(length));
  bytes.fill(" ", 8 + bytes.write(json, 8), 8 + length);
  let end = 8 + length;
  for (const { data } of tensors) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), end);
    end += data.byteLength;
  }
  return bytes;
}
