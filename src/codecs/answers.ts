import { type EncodeAnswerHead, type Format, writeCodes, writeRows } from "./write-codes.ts";
import { rowFormat, writeCodeLines, writeRowLines } from "./lines.ts";
import { writeMsgpack, writeRowsMsgpack } from "./msgpack.ts";
import { writeRowsOctets } from "./octets.ts";
import { writeRowsSafetensors, writeSafetensors } from "./safetensors.ts";
import type { Rows } from "../engine/core/rows.ts";
import { CODE_COLUMNS, columnOfCodes, type SparseCodes } from "../engine/core/sparse-codes.ts";
import { invalid, WireError } from "./codec-error.ts";

/** Writers of sparse codes, by answer type. */
export const CODES_WRITERS = {
  json: writeCodes,
  msgpack: writeMsgpack,
  safetensors: writeSafetensors,
  ndjson: writeCodeLines,
} as const;
export type CodesType = keyof typeof CODES_WRITERS;
export const CODES_TYPES = Object.keys(CODES_WRITERS) as readonly CodesType[];

/** Default format of codes. MessagePack gets csr, because rows as objects are slow to write there. */
export const defaultFormat = (as: CodesType): Format => (as === "msgpack" ? "csr" : "sparse");

/** Writers of rows, by answer type. */
export const ROWS_WRITERS = {
  json: writeRows,
  msgpack: writeRowsMsgpack,
  safetensors: writeRowsSafetensors,
  "octet-stream": writeRowsOctets,
  ndjson: writeRowLines,
} as const;
export type RowsType = keyof typeof ROWS_WRITERS;
export const ROWS_TYPES = Object.keys(ROWS_WRITERS) as readonly RowsType[];

/** Format of an answer body, without its HTTP name. */
export type AnswerType = CodesType | RowsType;

/** Maximum bytes of JSON: an index as a key or with its comma, a float32 and its comma, an answer without its rows. */
const INDEX_BYTES = 11;
const FLOAT_BYTES = 23;
const HEAD_BYTES = 640;
/** A row's braces, its number of atoms, and the names of norm and trace. */
const ROW_BYTES = 80;
/** Quotes, colon, brackets and comma of a field. */
const FIELD_BYTES = 6;
/** A zero, or any other number of one digit, and its comma. */
const DIGIT_BYTES = 2;

/** Maximum bytes of a row's keys and of the head in a binary answer, beside the numbers. */
const BINARY_ROW_BYTES = 320;
const BINARY_HEAD_BYTES = 4096;

export const isText = (as: AnswerType): boolean => as === "json" || as === "ndjson";

/** Minimum bytes of that many numbers. */
export const leastBytes = (numbers: number, as: AnswerType): number => numbers * (isText(as) ? DIGIT_BYTES : 4);

/** Bytes of an index and its correlation; in text they take more. */
const CORRELATION_BYTES = 8;

/** Lower bound of an answer's bytes before anything is encoded: a dense answer's zeros, a reconstruction, correlations. */
export function certainBytes(
  count: number,
  shape: { readonly d: number; readonly m: number },
  { format, reconstruction, correlations = 0 }: CertainParts,
  as: AnswerType,
): number {
  const numbers = count * ((format === "dense" ? shape.m : 0) + (reconstruction ? shape.d : 0));
  return leastBytes(numbers, as) + count * correlations * CORRELATION_BYTES;
}

/** Parts of an answer whose length is known before anything is encoded. */
interface CertainParts {
  readonly format: Format;
  readonly reconstruction: boolean;
  /** Of each row. */
  readonly correlations?: number;
}

/** Maximum bytes of a float32 and its comma, by its magnitude: nine digits, and JSON's notation around them. */
function floatBytes(value: number): number {
  const magnitude = Math.abs(value);
  if (magnitude >= 0.1) return magnitude < 1 ? 13 : magnitude < 1e9 ? 12 : magnitude < 1e21 ? FLOAT_BYTES : 16;
  if (magnitude >= 0.01) return 14;
  if (magnitude >= 1e-6) return 18;
  return magnitude === 0 ? DIGIT_BYTES : 16;
}

export function floatsBytes(column: Float32Array): number {
  let bytes = 0;
  for (const value of column) bytes += floatBytes(value);
  return bytes;
}

/** Upper bound of the JSON bytes of codes. */
export function codesBytes(codes: SparseCodes, format: Format): number {
  const { count, width } = codes;
  let bytes = HEAD_BYTES + count * ROW_BYTES + (format === "dense" ? count * width * DIGIT_BYTES : 0);
  for (const rule of CODE_COLUMNS) {
    const column = columnOfCodes(codes, rule);
    if (column === undefined) continue;
    const cells =
      rule.extent === "rows" ? 0 : column instanceof Float32Array ? floatsBytes(column) : column.length * INDEX_BYTES;
    bytes += cells + count * (rule.name.length + FIELD_BYTES + (rule.extent === "rows" ? FLOAT_BYTES : 0));
  }
  return bytes;
}

/** Bytes of the numbers in a binary answer. */
function binaryBytes(codes: SparseCodes, format: Format): number {
  const { count, width, indices, values } = codes;
  // An index as a key takes up to eleven bytes, its value nine.
  let bytes = format === "dense" ? count * width * 4 - values.byteLength : format === "map" ? indices.length * 12 : 0;
  for (const rule of CODE_COLUMNS) bytes += columnOfCodes(codes, rule)?.byteLength ?? 0;
  return bytes;
}

/** Maximum bytes of labels with their sources: six per letter, four for `null`. */
const labelsBytes = (labels: EncodeAnswerHead["labels"]): number =>
  labels?.reduce((bytes, label) => bytes + ((label?.text.length ?? 1) + (label?.source.length ?? 1)) * 6 + 2 * 14, 0) ??
  0;

/** Upper bound of an encode answer's bytes. */
export function codesAnswerBytes(
  codes: SparseCodes,
  { format, labels }: Pick<EncodeAnswerHead, "format" | "labels">,
  as: CodesType,
): number {
  const numbers = isText(as)
    ? codesBytes(codes, format)
    : BINARY_HEAD_BYTES + codes.count * BINARY_ROW_BYTES + binaryBytes(codes, format);
  return numbers + labelsBytes(labels);
}

/** Upper bound of the JSON bytes of rows: a row, and each of several layers in it, takes its brackets and a comma. */
export const rowsBytes = ({ data, count, layers = 0 }: Rows): number =>
  HEAD_BYTES + count * 3 * (1 + layers) + floatsBytes(data);

/** Upper bound of a decode answer's bytes. */
export const rowsAnswerBytes = (rows: Rows, as: RowsType): number =>
  isText(as) ? rowsBytes(rows) : BINARY_HEAD_BYTES + rows.data.byteLength;

/** @throws WireError PURSUIT_ANSWER_TOO_LARGE */
export function checkAnswer(bytes: number, limit: number): void {
  if (bytes <= limit) return;
  const message = `The answer would take about ${bytes} bytes; at most ${limit} are sent. Send fewer rows, a smaller budget, or ask for "sparse".`;
  throw new WireError("PURSUIT_ANSWER_TOO_LARGE", message);
}

/**
 * Checks, before anything is encoded, that the answer type supports the format.
 * @throws WireError PURSUIT_INVALID_FIELD
 */
export function checkFormat(format: Format, as: AnswerType): void {
  if (as === "ndjson") rowFormat({ format });
  if (as === "safetensors" && format === "map")
    throw invalid('format "map" is an object; safetensors holds tensors: ask for sparse, csr or dense.');
}
