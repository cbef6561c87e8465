import type { Rows } from "../engine/core/rows.ts";
import type { SparseCodes } from "../engine/core/sparse-codes.ts";
import type { AnswerType } from "./writers.ts";
import { invalid } from "./posted-rows.ts";
import { WireError } from "./codec-error.ts";
import { codesBytes, DIGIT_BYTES, type Format, rowsBytes } from "./write-codes.ts";
import { rowFormat } from "./write-lines.ts";
import { binaryCodesBytes } from "./write-safetensors.ts";

/** Beside the numbers of a binary answer, a row's keys and the head at most. */
const BINARY_ROW_BYTES = 320;
const BINARY_HEAD_BYTES = 4096;

const isText = (as: AnswerType): boolean => as === "json" || as === "ndjson";

/** Bytes that so many numbers take at least. */
export const leastBytes = (numbers: number, as: AnswerType): number => numbers * (isText(as) ? DIGIT_BYTES : 4);

/** Bytes that are certain before anything is encoded: a dense answer's zeros, a reconstruction. From below. */
export function certainBytes(
  count: number,
  shape: { readonly d: number; readonly m: number },
  format: Format,
  reconstruction: boolean,
  as: AnswerType,
): number {
  return leastBytes(count * ((format === "dense" ? shape.m : 0) + (reconstruction ? shape.d : 0)), as);
}

/** Bytes that an encode answer will take, from above. */
export const codesAnswerBytes = (codes: SparseCodes, format: Format, as: AnswerType): number =>
  isText(as)
    ? codesBytes(codes, format)
    : BINARY_HEAD_BYTES + codes.count * BINARY_ROW_BYTES + binaryCodesBytes(codes, format);

/** Bytes that a decode answer will take, from above. */
export const rowsAnswerBytes = (rows: Rows, as: AnswerType): number =>
  isText(as) ? rowsBytes(rows) : BINARY_HEAD_BYTES + rows.data.byteLength;

/** @throws WireError PURSUIT_ANSWER_TOO_LARGE */
export function checkAnswer(bytes: number, limit: number): void {
  if (bytes <= limit) return;
  const message = `The answer would take about ${bytes} bytes; at most ${limit} are sent. Send fewer rows, a smaller budget, or ask for "sparse".`;
  throw new WireError("PURSUIT_ANSWER_TOO_LARGE", message);
}

/**
 * Before anything is encoded: not every type of answer knows every format.
 * @throws WireError PURSUIT_INVALID_FIELD
 */
export function checkFormat(format: Format, as: AnswerType): void {
  if (as === "ndjson") rowFormat({ format });
  if (as === "safetensors" && format === "map")
    throw invalid('format "map" is an object; safetensors holds tensors: ask for sparse, csr or dense.');
}
