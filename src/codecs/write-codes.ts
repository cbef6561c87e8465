import type { PursuitChoice } from "../engine/core/dictionary.ts";
import type { FeatureLabel } from "../engine/core/features.ts";
import {
  CODE_COLUMNS,
  type CodeColumn,
  columnOfCodes,
  type ColumnRule,
  type SparseCodes,
} from "../engine/core/sparse-codes.ts";
import type { Rows } from "../engine/core/rows.ts";

/** Layouts of codes in an answer (docs/wire.md). */
export const FORMATS = ["sparse", "csr", "dense", "map"] as const;
export type Format = (typeof FORMATS)[number];

export interface EncodeAnswerHead {
  readonly dictionary: string;
  readonly sha256: string;
  /** The pursuit that made the codes; absent: the dictionary's own encoder. */
  readonly encoder?: PursuitChoice;
  readonly format: Format;
  /** [batch, seq, d] if the rows had more than one leading dimension. */
  readonly shape: readonly number[] | null;
  /** Σ||x − mean||² over these rows and their own mean, for the summary; null if not asked for. */
  readonly totalVariance: number | null;
  /** Set where the rows lie far outside the dictionary's reference figures. */
  readonly warning?: string;
  /** Label of each of the codes' indices, null for none; null if labels were not asked for. */
  readonly labels: CodeLabels | null;
}

/** Labels beside indices. */
export type CodeLabels = readonly (FeatureLabel | null)[];

/** Fields of labels in an answer: their texts, and where each comes from. */
const LABEL_FIELDS = { labels: "text", label_sources: "source" } as const;

/** Labels of all codes in columns, as a csr answer has them. */
export const labelColumns = (labels: CodeLabels): Record<string, readonly (string | null)[]> =>
  Object.fromEntries(
    Object.entries(LABEL_FIELDS).map(([field, part]) => [field, labels.map((label) => label?.[part] ?? null)]),
  );

/** How a codec writes numbers: decimals and lists in JSON, raw numbers and arrays in MessagePack. */
export interface NumberForm {
  readonly one: (column: CodeColumn, i: number) => number;
  readonly list: (column: CodeColumn) => unknown;
}

const JSON_NUMBERS: NumberForm = {
  one: (column, i) => (column instanceof Float32Array ? shortestFloat32(column[i]!) : column[i]!),
  list: (column) => (column instanceof Float32Array ? shortestFloats(column) : [...column]),
};

type Fields = Record<string, unknown>;

/** Fields of an answer that are not its codes'. Decode passes over them, so that an answer may be posted back whole. */
export const ANSWER_FIELDS = [
  "dictionary",
  "sha256",
  "encoder",
  "warning",
  "mean_atoms",
  "explained_variance",
  "shape",
  "inputs_shape",
] as const;

/** Fields of an encode answer beside its codes. */
export const headFields = (
  codes: SparseCodes,
  { dictionary, sha256, encoder, warning, totalVariance }: EncodeAnswerHead,
): Fields => ({
  dictionary,
  sha256,
  ...(encoder && { encoder }),
  ...(warning && { warning }),
  ...summaryFields(codes, totalVariance),
});

/** Figures over all rows of the answer; none if no summary was asked for. */
export const summaryFields = (codes: SparseCodes, totalVariance: number | null): object =>
  totalVariance === null
    ? {}
    : {
        mean_atoms: codes.indptr[codes.count]! / codes.count,
        explained_variance: explainedVariance(codes, totalVariance),
      };

/** 1 − Σ||x − x̂||² / Σ||x − mean||² over these rows and their own mean; null if they do not vary. */
export function explainedVariance({ count, residualNorms, norm }: SparseCodes, totalVariance: number): number | null {
  if (residualNorms === undefined) return null;
  let left = 0;
  // Residuals are in pursuit space; undoing an input norm scales them by the row's scale.
  for (let i = 0; i < count; i++) left += (residualNorms[i]! * (norm?.scale[i] ?? 1)) ** 2;
  const explained = 1 - left / totalVariance;
  return count > 1 && Number.isFinite(explained) ? explained : null;
}

/** Writes an encode answer as JSON. */
export function writeCodes(codes: SparseCodes, head: EncodeAnswerHead): string {
  const { count } = codes;
  const { shape, format, labels } = head;
  const fields = headFields(codes, head);
  const rows = Array.from({ length: count }, (_, i) => i);
  if (format === "csr") {
    const add = rowFields(codes, JSON_NUMBERS);
    const columns = columnsOf(rows.map((i) => add({}, i)));
    return JSON.stringify({ ...fields, ...csr(codes), ...(labels && labelColumns(labels)), ...columns });
  }
  const around = JSON.stringify({ ...fields, ...(shape && { shape }), codes: [] });
  const write = codeWriter(codes, { ...head, format });
  // Row by row: as lists of numbers a dense answer takes four times its length.
  const texts = rows.map((i) => JSON.stringify(write(i)));
  return `${around.slice(0, -2)}${texts.join(",")}]}`;
}

/**
 * Adds row i's fields of every format: one for each column of {@link CODE_COLUMNS} that belongs to a row. Assigned one
 * by one: in V8 spreading objects of several forms costs 4 µs a row.
 */
export function rowFields(codes: SparseCodes, numbers: NumberForm): (row: Fields, i: number) => Fields {
  const { indptr } = codes;
  const writers = CODE_COLUMNS.flatMap((rule) => {
    const held = columnOfCodes(codes, rule);
    const at = held && cellWriter(rule, held, codes, numbers);
    return at ? [{ outer: rule.key[0], inner: rule.key[1], at }] : [];
  });
  return (row, i) => {
    row["atoms"] = indptr[i + 1]! - indptr[i]!;
    for (const { outer, inner, at } of writers) {
      if (inner === undefined) row[outer] = at(i);
      else ((row[outer] ??= {}) as Fields)[inner] = at(i);
    }
    return row;
  };
}

/** Writes one row's part of a column; undefined for a column that only a format lays out. */
function cellWriter(
  { extent, names }: ColumnRule,
  column: CodeColumn,
  { count, trace }: SparseCodes,
  { one, list }: NumberForm,
): ((i: number) => unknown) | undefined {
  switch (extent) {
    case "rows":
      return names ? (i) => names[column[i]!] : (i) => one(column, i);
    case "trace_entries":
      return (i) => list(column.subarray(trace!.indptr[i], trace!.indptr[i + 1]));
    case "values": {
      const width = column.length / count;
      return (i) => list(column.subarray(i * width, (i + 1) * width));
    }
    case "pointers":
    case "entries":
    case "trace_pointers":
      return undefined;
  }
}

/** The settings for writing a single row's code. */
export type RowHead = Pick<EncodeAnswerHead, "labels" | "format" | "encoder">;
type RowFormat = Exclude<Format, "csr">;

/** Makes an object of one code: an entry of `codes`, or a line. */
export function codeWriter(
  codes: SparseCodes,
  { format, labels }: RowHead & { readonly format: RowFormat },
  numbers: NumberForm = JSON_NUMBERS,
): (i: number) => Fields {
  const layOut = LAYOUTS[format];
  const add = rowFields(codes, numbers);
  return (i) => {
    const row = layOut(codes, i, numbers);
    if (labels !== null) addLabels(row, codes, i, labels, format);
    return add(row, i);
  };
}

/** Arguments of scipy.sparse.csr_matrix. */
const csr = ({ indptr, indices, values, count, width }: SparseCodes): object => ({
  indptr: [...indptr],
  indices: [...indices],
  values: shortestFloats(values),
  shape: [count, width],
});

/** [{a, b}, …] → {a: […], b: […]} */
function columnsOf(rows: readonly Fields[]): object {
  return Object.fromEntries(Object.keys(rows[0] ?? {}).map((key) => [key, rows.map((row) => row[key])]));
}

const LAYOUTS: Readonly<Record<RowFormat, (codes: SparseCodes, i: number, numbers: NumberForm) => Fields>> = {
  sparse: (codes, i, { list }) => ({
    indices: list(codes.indices.subarray(...span(codes, i))),
    values: list(codes.values.subarray(...span(codes, i))),
  }),
  dense: (codes, i, { list }) => ({ values: list(denseRow(codes, i)) }),
  // Keys are text: Python's msgpack refuses integer keys by default.
  map: (codes, i, { one }) => {
    const values: Record<number, number> = {};
    for (let k = codes.indptr[i]!; k < codes.indptr[i + 1]!; k++) values[codes.indices[k]!] = one(codes.values, k);
    return { values };
  },
};

/** Adds a row's labels in the layout of its values: lists, or objects by index. */
function addLabels(row: Fields, codes: SparseCodes, i: number, labels: CodeLabels, format: RowFormat): void {
  const [from, to] = span(codes, i);
  const own = labels.slice(from, to);
  for (const [field, part] of Object.entries(LABEL_FIELDS)) {
    const texts = own.map((label) => label?.[part] ?? null);
    row[field] =
      format === "map" ? Object.fromEntries(texts.map((text, k) => [codes.indices[from + k]!, text])) : texts;
  }
}

const span = ({ indptr }: SparseCodes, i: number): [number, number] => [indptr[i]!, indptr[i + 1]!];

/** Writes rows as JSON: a decode answer. */
export const writeRows = (rows: Rows): string => JSON.stringify({ outputs: outputsOf(rows) });

/** Rows as lists of numbers, nested by layer where a row has several. */
export const outputsOf = ({ data, width, layers }: Rows): (number[] | number[][])[] =>
  Array.from({ length: data.length / width }, (_, i) => outputOf(data.subarray(i * width, (i + 1) * width), layers));

/** One row as a list of numbers, or a list of its layers. */
export function outputOf(row: Float32Array, layers: number | undefined): number[] | number[][] {
  if (layers === undefined) return shortestFloats(row);
  const width = row.length / layers;
  return Array.from({ length: layers }, (_, i) => shortestFloats(row.subarray(i * width, (i + 1) * width)));
}

/** Shape of rows as an array: [n, d], or [n, layers, d]. */
export const shapeOf = ({ count, width, layers }: Rows): number[] =>
  layers === undefined ? [count, width] : [count, layers, width / layers];

/** Row i with its zeros, [m]; written to `into` at `at` if given. */
export function denseRow(codes: SparseCodes, i: number, into = new Float32Array(codes.width), at = 0): Float32Array {
  const { indptr, indices, values } = codes;
  for (let k = indptr[i]!; k < indptr[i + 1]!; k++) into[at + indices[k]!] = values[k]!;
  return into;
}

/** Powers of ten that a double holds exactly. */
const TENS = Array.from({ length: 23 }, (_, k) => Number(`1e${k}`));

/**
 * Returns the double that prints as the shortest decimal of the same float32: 0.1 for the float32 nearest to 0.1, whose
 * own digits are 0.10000000149011612. Answers get half as long and stay bit-exact.
 *
 * A decimal of p ≤ 9 digits is n / 10^k or n · 10^k with exact operands, so one rounded division gives exactly the
 * double that the decimal's text means, without making any text.
 */
export function shortestFloat32(value: number): number {
  // Small integers, zero included, are their own shortest decimals; so are NaN and Infinity, which never get here.
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return value;
  const exponent = Math.floor(Math.log10(Math.abs(value)));
  for (let digits = 6; digits <= 9; digits++) {
    const k = digits - 1 - exponent;
    if (k > 22 || k < -22) break;
    const candidate = k >= 0 ? Math.round(value * TENS[k]!) / TENS[k]! : Math.round(value / TENS[-k]!) * TENS[-k]!;
    if (Math.fround(candidate) === value) return candidate;
  }
  return throughText(value);
}

/** By way of text, for magnitudes whose powers of ten are not exact. Subnormals have fewer than six digits. */
function throughText(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return Number(value.toPrecision(9));
}

/** A whole column, as a plain array for JSON.stringify. */
export function shortestFloats(column: Float32Array): number[] {
  const numbers: number[] = Array.from({ length: column.length });
  for (let i = 0; i < column.length; i++) numbers[i] = shortestFloat32(column[i]!);
  return numbers;
}
