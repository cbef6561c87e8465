import { type SparseCodes, STOP_REASONS } from "../engine/core/sparse-codes.ts";
import type { Rows } from "../engine/core/rows.ts";
import { shortestFloat32, shortestFloats } from "./shortest-float32.ts";

/** Layouts of codes in an answer (docs/wire.md). */
export const FORMATS = ["sparse", "csr", "dense", "map"] as const;
export type Format = (typeof FORMATS)[number];

export interface EncodeAnswerHead {
  readonly dictionary: string;
  readonly sha256: string;
  readonly format: Format;
  /** [batch, seq, d] where rows came in more than one leading dimension. */
  readonly shape: readonly number[] | null;
  /** Of one row of the dictionary's input. */
  readonly d: number;
  /** 1 − Σ||x − x̂||² / Σ||x − mean||² over the batch; null where the rows do not vary. */
  readonly explainedVariance: number | null;
  /** Text of each of the codes' indices, null for none; null where labels were not asked for. */
  readonly labels: readonly (string | null)[] | null;
}

/** An encode answer as JSON text. */
export function writeCodes(codes: SparseCodes, head: EncodeAnswerHead): string {
  const { count } = codes;
  const { dictionary, sha256, shape, format, labels } = head;
  const rows = Array.from({ length: count }, (_, i) => i);
  const facts = {
    dictionary,
    sha256,
    mean_atoms: codes.indptr[count]! / count,
    explained_variance: head.explainedVariance,
  };
  if (format === "csr") {
    const columns = columnsOf(rows.map((i) => factsOf(codes, i, head)));
    return JSON.stringify({ ...facts, ...csr(codes), ...(labels && { labels }), ...columns });
  }
  const around = JSON.stringify({ ...facts, ...(shape && { shape }), codes: [] });
  // A row's text at a time: a dense answer takes four times its length as lists of numbers.
  const texts = rows.map((i) => JSON.stringify(codeOf(codes, i, format, head)));
  return `${around.slice(0, -2)}${texts.join(",")}]}`;
}

/** What a row says of itself, as in every format. */
function factsOf(codes: SparseCodes, i: number, { d }: RowHead): object {
  const { indptr, norm, reconstruction, residualNorms, relativeErrors } = codes;
  return {
    atoms: indptr[i + 1]! - indptr[i]!,
    steps: codes.steps[i]!,
    ...(residualNorms && { residual_norm: shortestFloat32(residualNorms[i]!) }),
    ...(relativeErrors && { relative_error: shortestFloat32(relativeErrors[i]!) }),
    stop: STOP_REASONS[codes.stops[i]!]!,
    ...(norm && { norm: { shift: shortestFloat32(norm.shift[i]!), scale: shortestFloat32(norm.scale[i]!) } }),
    ...(codes.trace && { trace: traceOf(codes, i) }),
    ...(reconstruction && { reconstruction: shortestFloats(reconstruction.subarray(i * d, (i + 1) * d)) }),
  };
}

/** What a single row's code is written by. */
export type RowHead = Pick<EncodeAnswerHead, "labels" | "format" | "d">;

/**
 * One code as an object that JSON.stringify prints: an entry of `codes`, or a line. Assigned, as V8 takes 4 µs to spread
 * objects of several forms into a new one, and that a row.
 */
export const codeOf = (codes: SparseCodes, i: number, format: Exclude<Format, "csr">, head: RowHead): object =>
  Object.assign(CODE_WRITERS[format](codes, i), labelsOf(codes, i, head), factsOf(codes, i, head));

/** What scipy.sparse.csr_matrix takes. */
const csr = ({ indptr, indices, values, count, width }: SparseCodes): object => ({
  indptr: [...indptr],
  indices: [...indices],
  values: shortestFloats(values),
  shape: [count, width],
});

/** [{a, b}, …] → {a: […], b: […]} */
function columnsOf(rows: readonly object[]): object {
  return Object.fromEntries(
    Object.keys(rows[0] ?? {}).map((key) => [key, rows.map((row) => (row as Record<string, unknown>)[key])]),
  );
}

const CODE_WRITERS = {
  sparse: (codes, i) => ({ indices: [...codes.indices.subarray(...span(codes, i))], values: valuesOf(codes, i) }),
  dense: (codes, i) => {
    const dense = Array.from<number>({ length: codes.width }).fill(0);
    for (let k = codes.indptr[i]!; k < codes.indptr[i + 1]!; k++)
      dense[codes.indices[k]!] = shortestFloat32(codes.values[k]!);
    return { values: dense };
  },
  map: (codes, i) => {
    const values = valuesOf(codes, i);
    return { values: Object.fromEntries(values.map((value, k) => [codes.indices[codes.indptr[i]! + k]!, value])) };
  },
} as const satisfies Record<Exclude<Format, "csr">, (codes: SparseCodes, i: number) => object>;

/** A row's labels as its format holds its values: a list, or an object by index. */
function labelsOf(codes: SparseCodes, i: number, { labels, format }: RowHead): object {
  if (labels === null) return {};
  const [from, to] = span(codes, i);
  const texts = labels.slice(from, to);
  if (format !== "map") return { labels: texts };
  return { labels: Object.fromEntries(texts.map((text, k) => [codes.indices[from + k]!, text])) };
}

const span = ({ indptr }: SparseCodes, i: number): [number, number] => [indptr[i]!, indptr[i + 1]!];
const valuesOf = (codes: SparseCodes, i: number): number[] => shortestFloats(codes.values.subarray(...span(codes, i)));

function traceOf({ trace }: SparseCodes, i: number): object {
  const { indptr, indices, values, residualNorms } = trace!;
  const from = indptr[i]!;
  const to = indptr[i + 1]!;
  return {
    indices: [...indices.subarray(from, to)],
    values: shortestFloats(values.subarray(from, to)),
    ...(residualNorms && { residual_norms: shortestFloats(residualNorms.subarray(from, to)) }),
  };
}

/** Rows as JSON text: a decode answer. */
export const writeRows = (rows: Rows): string => JSON.stringify({ outputs: outputsOf(rows) });

/** Rows as lists of numbers. */
export const outputsOf = ({ data, width }: Rows): number[][] =>
  Array.from({ length: data.length / width }, (_, i) => shortestFloats(data.subarray(i * width, (i + 1) * width)));

/** Bytes of JSON at most: an index as a key or with its comma, all of a row but its columns, all of an answer but its rows. */
const INDEX_BYTES = 11;
const ROW_BYTES = 320;
const HEAD_BYTES = 640;
/** A zero, or any other number of one digit, and its comma. */
export const DIGIT_BYTES = 2;

/** Bytes of a float32 and its comma at most, by its magnitude: nine digits, and what JSON writes around them. */
function floatBytes(value: number): number {
  const magnitude = Math.abs(value);
  if (magnitude >= 0.1) return magnitude < 1 ? 13 : magnitude < 1e9 ? 12 : magnitude < 1e21 ? 23 : 16;
  if (magnitude >= 0.01) return 14;
  if (magnitude >= 1e-6) return 18;
  return magnitude === 0 ? DIGIT_BYTES : 16;
}

const NONE = new Float32Array(0);

export function floatsBytes(column: Float32Array): number {
  let bytes = 0;
  for (const value of column) bytes += floatBytes(value);
  return bytes;
}

/** Bytes that an encode answer will take, from above. */
export function codesBytes(codes: SparseCodes, format: Format): number {
  const { count, width, indices, values, trace, reconstruction } = codes;
  return (
    HEAD_BYTES +
    count * ROW_BYTES +
    indices.length * INDEX_BYTES +
    floatsBytes(values) +
    (format === "dense" ? count * width * DIGIT_BYTES : 0) +
    (trace
      ? trace.indices.length * INDEX_BYTES + floatsBytes(trace.values) + floatsBytes(trace.residualNorms ?? NONE)
      : 0) +
    (reconstruction ? floatsBytes(reconstruction) : 0)
  );
}

/** Bytes that a decode answer will take, from above: a row takes its brackets and a comma. */
export const rowsBytes = ({ data, count }: Rows): number => HEAD_BYTES + count * 3 + floatsBytes(data);

/** Bytes of labels at most: a letter may take six, and `null` four. */
export function labelsBytes(labels: readonly (string | null)[] | null): number {
  return labels?.reduce((bytes, text) => bytes + (text?.length ?? 1) * 6 + 14, 0) ?? 0;
}
