import type { Rows } from "../engine/core/rows.ts";
import type { SparseCodes } from "../engine/core/sparse-codes.ts";
import { shortestFloats } from "./shortest-float32.ts";
import { codeWriter, type RowHead } from "./write-codes.ts";
import { WireError } from "./codec-error.ts";

/**
 * Codes as lines of JSON, one for each row.
 * @throws WireError PURSUIT_INVALID_FIELD for csr, which has no rows to write one by one
 */
export function writeCodeLines(codes: SparseCodes, head: RowHead): string {
  const write = codeWriter(codes, { ...head, format: rowFormat(head) });
  let text = "";
  for (let i = 0; i < codes.count; i++) text += `${JSON.stringify(write(i))}\n`;
  return text;
}

/** What is answered in place of a line: its code, or the problem that it has. */
export interface AnswerLine {
  readonly line: number;
  readonly id?: string | number;
  readonly error?: object;
}

/** Answers to lines, in their order; the codes are those of the lines without an error. */
export function writeAnswerLines(codes: SparseCodes | null, head: RowHead, lines: readonly AnswerLine[]): string {
  const write = codes && codeWriter(codes, { ...head, format: rowFormat(head) });
  let text = "";
  let row = 0;
  for (const { line, id, error } of lines) {
    const named = id === undefined ? {} : { id };
    const answer = error ? { ...named, error, line } : Object.assign(named, write!(row++));
    text += `${JSON.stringify(answer)}\n`;
  }
  return text;
}

/** @throws WireError PURSUIT_INVALID_FIELD */
export function rowFormat({ format }: Pick<RowHead, "format">): Exclude<RowHead["format"], "csr"> {
  if (format !== "csr") return format;
  throw new WireError("PURSUIT_INVALID_FIELD", 'format "csr" holds all rows at once; lines are sparse, dense or map.');
}

/** Rows as lines of JSON. */
export function writeRowLines({ data, count, width }: Rows): string {
  let text = "";
  for (let i = 0; i < count; i++)
    text += `${JSON.stringify(shortestFloats(data.subarray(i * width, (i + 1) * width)))}\n`;
  return text;
}
