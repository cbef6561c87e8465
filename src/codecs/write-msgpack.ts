import { type SparseCodes, STOP_REASONS } from "../engine/core/sparse-codes.ts";
import type { Rows } from "../engine/core/rows.ts";
import type { EncodeAnswerHead, Format } from "./write-codes.ts";
import { denseRow } from "./dense-row.ts";
import { type ByteColumn, byteColumn, keyOf, MsgpackWriter } from "./msgpack-writer.ts";
import { binaryCodesBytes } from "./write-safetensors.ts";

const KEY = {
  dictionary: keyOf("dictionary"),
  sha256: keyOf("sha256"),
  mean_atoms: keyOf("mean_atoms"),
  explained_variance: keyOf("explained_variance"),
  shape: keyOf("shape"),
  codes: keyOf("codes"),
  indptr: keyOf("indptr"),
  indices: keyOf("indices"),
  values: keyOf("values"),
  labels: keyOf("labels"),
  atoms: keyOf("atoms"),
  steps: keyOf("steps"),
  residual_norm: keyOf("residual_norm"),
  relative_error: keyOf("relative_error"),
  residual_norms: keyOf("residual_norms"),
  stop: keyOf("stop"),
  norm: keyOf("norm"),
  shift: keyOf("shift"),
  scale: keyOf("scale"),
  trace: keyOf("trace"),
  reconstruction: keyOf("reconstruction"),
} as const;

const STOPS = STOP_REASONS.map(keyOf);

/** Bytes of a row's keys, small numbers and array heads, about. */
const ROW_BYTES = 320;

/**
 * An encode answer as MessagePack: the object of the JSON answer, its lists of numbers as `{data, dtype, shape}`.
 * In format csr all is in columns, a trace too.
 */
export function writeMsgpack(codes: SparseCodes, head: EncodeAnswerHead): Buffer<ArrayBuffer> {
  const { count, indptr } = codes;
  const { format, shape } = head;
  const out = new MsgpackWriter(
    1024 + binaryCodesBytes(codes, format) + (format === "csr" ? count * 16 : count * ROW_BYTES),
  );
  const own = format === "csr" ? 7 + columnsPresent(codes, head) : shape ? 6 : 5;
  out.map(own).key(KEY.dictionary).text(head.dictionary).key(KEY.sha256).text(head.sha256);
  out
    .key(KEY.mean_atoms)
    .float64(indptr[count]! / count)
    .key(KEY.explained_variance);
  if (head.explainedVariance === null) out.nil();
  else out.float64(head.explainedVariance);
  if (format === "csr") return writeColumns(out, codes, head).bytes();
  if (shape) {
    out.key(KEY.shape).list(shape.length);
    for (const size of shape) out.uint(size);
  }
  out.key(KEY.codes).list(count);
  const columns = { indices: byteColumn(codes.indices), values: byteColumn(codes.values) };
  for (let i = 0; i < count; i++) writeRow(out, codes, columns, i, head, format);
  return out.bytes();
}

function writeRow(
  out: MsgpackWriter,
  codes: SparseCodes,
  columns: Readonly<Record<"indices" | "values", ByteColumn>>,
  i: number,
  head: EncodeAnswerHead,
  format: Exclude<Format, "csr">,
) {
  const { indices, values, norm, trace, reconstruction, residualNorms, relativeErrors } = codes;
  const from = codes.indptr[i]!;
  const to = codes.indptr[i + 1]!;
  const { labels, d } = head;
  const optional = Number(labels !== null) + Number(!!norm) + Number(!!trace) + Number(!!reconstruction);
  out.map((format === "sparse" ? 5 : 4) + 2 * Number(!!residualNorms) + optional);
  if (format === "sparse") out.key(KEY.indices).part(columns.indices, from, to);
  out.key(KEY.values);
  if (format === "sparse") out.part(columns.values, from, to);
  else if (format === "dense") out.array(denseRow(codes, i));
  else {
    // Keys as text, as in JSON: Python's msgpack refuses integers as keys unless told otherwise.
    out.map(to - from);
    for (let k = from; k < to; k++) out.text(String(indices[k]!)).float32(values[k]!);
  }
  if (labels !== null) {
    out.key(KEY.labels);
    if (format === "map") out.map(to - from);
    else out.list(to - from);
    for (let k = from; k < to; k++) {
      if (format === "map") out.text(String(indices[k]!));
      writeLabel(out, labels[k]!);
    }
  }
  out
    .key(KEY.atoms)
    .uint(to - from)
    .key(KEY.steps)
    .uint(codes.steps[i]!);
  if (residualNorms) out.key(KEY.residual_norm).float32(residualNorms[i]!);
  if (relativeErrors) out.key(KEY.relative_error).float32(relativeErrors[i]!);
  out.key(KEY.stop).key(STOPS[codes.stops[i]!]!);
  if (norm) out.key(KEY.norm).map(2).key(KEY.shift).float32(norm.shift[i]!).key(KEY.scale).float32(norm.scale[i]!);
  if (trace) {
    const first = trace.indptr[i]!;
    const last = trace.indptr[i + 1]!;
    out
      .key(KEY.trace)
      .map(trace.residualNorms ? 3 : 2)
      .key(KEY.indices)
      .array(trace.indices.subarray(first, last));
    out.key(KEY.values).array(trace.values.subarray(first, last));
    if (trace.residualNorms) out.key(KEY.residual_norms).array(trace.residualNorms.subarray(first, last));
  }
  if (reconstruction) out.key(KEY.reconstruction).array(reconstruction.subarray(i * d, (i + 1) * d));
}

const columnsPresent = (
  { norm, trace, reconstruction, residualNorms }: SparseCodes,
  { labels }: EncodeAnswerHead,
): number =>
  4 +
  2 * Number(!!residualNorms) +
  Number(labels !== null) +
  Number(!!norm) +
  Number(!!trace) +
  Number(!!reconstruction);

function writeColumns(out: MsgpackWriter, codes: SparseCodes, { labels, d }: EncodeAnswerHead): MsgpackWriter {
  const { count, width, indptr, norm, trace, reconstruction } = codes;
  out.key(KEY.indptr).array(indptr).key(KEY.indices).array(codes.indices).key(KEY.values).array(codes.values);
  out.key(KEY.shape).list(2).uint(count).uint(width);
  if (labels !== null) {
    out.key(KEY.labels).list(labels.length);
    for (const label of labels) writeLabel(out, label);
  }
  out.key(KEY.atoms).array(Uint32Array.from({ length: count }, (_, i) => indptr[i + 1]! - indptr[i]!));
  out.key(KEY.steps).array(codes.steps);
  if (codes.residualNorms) out.key(KEY.residual_norm).array(codes.residualNorms);
  if (codes.relativeErrors) out.key(KEY.relative_error).array(codes.relativeErrors);
  out.key(KEY.stop).list(count);
  for (const stop of codes.stops) out.key(STOPS[stop]!);
  if (norm) out.key(KEY.norm).map(2).key(KEY.shift).array(norm.shift).key(KEY.scale).array(norm.scale);
  if (trace) {
    out
      .key(KEY.trace)
      .map(trace.residualNorms ? 4 : 3)
      .key(KEY.indptr)
      .array(trace.indptr)
      .key(KEY.indices)
      .array(trace.indices);
    out.key(KEY.values).array(trace.values);
    if (trace.residualNorms) out.key(KEY.residual_norms).array(trace.residualNorms);
  }
  if (reconstruction) out.key(KEY.reconstruction).array(reconstruction, [count, d]);
  return out;
}

function writeLabel(out: MsgpackWriter, label: string | null): void {
  if (label === null) out.nil();
  else out.text(label);
}

const OUTPUTS = keyOf("outputs");

/** Rows as MessagePack: a decode answer. */
export function writeRowsMsgpack({ data, count, width }: Rows): Buffer<ArrayBuffer> {
  return new MsgpackWriter(data.byteLength + 128).map(1).key(OUTPUTS).array(data, [count, width]).bytes();
}
