import type { Rows } from "../../engine/rows.ts";
import type { SparseCodes } from "../../engine/sparse-codes.ts";
import type { BodyForm } from "./body-form.ts";
import type { LineGroup } from "./line-splitter.ts";
import type { RowLimits } from "./posted-rows.ts";
import { type Body, type BodyKind, readBody } from "./read-body.ts";
import { type InferBytes, type InferRequest, readInfer } from "./read-infer.ts";
import { type LineReading, type Lines, readLines } from "./read-lines.ts";
import { WireError, type WireFault } from "./wire-error.ts";
import { type EncodeAnswerHead, type RowHead, writeCodes, writeRows } from "./write-codes.ts";
import { type InferAnswer, type InferAnswerHead, writeInfer } from "./write-infer.ts";
import { type AnswerLine, writeAnswerLines, writeCodeLines, writeRowLines } from "./write-lines.ts";
import { writeMsgpack, writeRowsMsgpack } from "./write-msgpack.ts";
import { writeRowsOctets } from "./write-octets.ts";
import { writeRowsSafetensors, writeSafetensors } from "./write-safetensors.ts";
import { type SteerAnswerHead, type Steered, writeSteered } from "./write-steered.ts";

/** Work on bytes that is worth a thread of its own when there are many of them. */
export type WireTask =
  | {
      readonly type: "read";
      readonly kind: BodyKind;
      readonly bytes: Uint8Array;
      readonly form: BodyForm;
      readonly limits: RowLimits;
    }
  | { readonly type: "read_lines"; readonly group: LineGroup; readonly reading: LineReading }
  | {
      readonly type: "write_lines";
      readonly codes: SparseCodes | null;
      readonly head: RowHead;
      readonly lines: readonly AnswerLine[];
    }
  | {
      readonly type: "write_codes";
      readonly codes: SparseCodes;
      readonly head: EncodeAnswerHead;
      readonly as: CodesType;
    }
  | { readonly type: "write_rows"; readonly rows: Rows; readonly as: RowsType }
  | { readonly type: "write_steered"; readonly steered: Steered; readonly head: SteerAnswerHead }
  | { readonly type: "read_infer"; readonly body: InferBytes }
  | { readonly type: "write_infer"; readonly codes: SparseCodes; readonly head: InferAnswerHead };

export type WireResult =
  | { readonly body: Body }
  | { readonly lines: Lines }
  | { readonly text: string }
  | { readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly infer: InferRequest }
  | { readonly answer: InferAnswer }
  /** An error as data: its class does not survive the way between threads. */
  | { readonly fault: WireFault };

/** How codes are written in each type of answer. */
const CODES_WRITERS = {
  json: writeCodes,
  msgpack: writeMsgpack,
  safetensors: writeSafetensors,
  ndjson: writeCodeLines,
} as const;
export type CodesType = keyof typeof CODES_WRITERS;
export const CODES_TYPES = Object.keys(CODES_WRITERS) as readonly CodesType[];

/** How rows are. */
const ROWS_WRITERS = {
  json: writeRows,
  msgpack: writeRowsMsgpack,
  safetensors: writeRowsSafetensors,
  "octet-stream": writeRowsOctets,
  ndjson: writeRowLines,
} as const;
export type RowsType = keyof typeof ROWS_WRITERS;
export const ROWS_TYPES = Object.keys(ROWS_WRITERS) as readonly RowsType[];

const payloadOf = (payload: string | Uint8Array<ArrayBuffer>): WireResult =>
  typeof payload === "string" ? { text: payload } : { bytes: payload };

export function runWireTask(task: WireTask): WireResult {
  try {
    switch (task.type) {
      case "read":
        return { body: readBody(task.kind, task.bytes, task.form, task.limits) };
      case "read_lines":
        return { lines: readLines(task.group, task.reading) };
      case "write_lines":
        return { text: writeAnswerLines(task.codes, task.head, task.lines) };
      case "write_codes":
        return payloadOf(CODES_WRITERS[task.as](task.codes, task.head));
      case "write_rows":
        return payloadOf(ROWS_WRITERS[task.as](task.rows));
      case "write_steered":
        return { text: writeSteered(task.steered, task.head) };
      case "read_infer":
        return { infer: readInfer(task.body) };
      case "write_infer":
        return { answer: writeInfer(task.codes, task.head) };
    }
  } catch (error) {
    if (error instanceof WireError) return { fault: { code: error.code, message: error.message } };
    throw error;
  }
}
