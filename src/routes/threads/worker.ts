import { type Contrast, contrast, type ContrastOptions, type FeatureCodes } from "../../engine/core/contrast.ts";
import type { Rows } from "../../engine/core/rows.ts";
import type { SparseCodes } from "../../engine/core/sparse-codes.ts";
import { type Body, type BodyForm, type BodyKind, readBody } from "../../codecs/read-body.ts";
import {
  type AnswerLine,
  type LineGroup,
  type LineReading,
  type Lines,
  readLines,
  writeAnswerLines,
} from "../../codecs/lines.ts";
import { type BodyLimits, WireError, type WireFault } from "../../codecs/codec-error.ts";
import { type InferBytes, type InferRequest, readInfer } from "../oip/read-infer.ts";
import type { EncodeAnswerHead, RowHead } from "../../codecs/write-codes.ts";
import { type InferAnswer, type InferAnswerHead, writeInfer } from "../oip/write-infer.ts";
import { NumberKernel } from "../../codecs/numbers/number-rows.ts";
import { CODES_WRITERS, type CodesType, ROWS_WRITERS, type RowsType } from "../../codecs/answers.ts";
import { type SteerAnswerHead, type Steered, writeSteered } from "../../codecs/write-steered.ts";
import { move, transferableSymbol, valueSymbol } from "piscina";

/** Codes of two sets over m features, and how to compare them. */
export interface ContrastedSets {
  readonly a: FeatureCodes;
  readonly b: FeatureCodes;
  readonly m: number;
  readonly options: ContrastOptions;
}

/** Work on bytes that is worth a thread when there are many of them. */
export type WireTask =
  /** Does nothing but start the thread. */
  | { readonly type: "start" }
  | {
      readonly type: "read";
      readonly kind: BodyKind;
      readonly bytes: Uint8Array;
      readonly form: BodyForm;
      readonly limits: BodyLimits;
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
  | { readonly type: "contrast"; readonly sets: ContrastedSets }
  | { readonly type: "read_infer"; readonly body: InferBytes }
  | { readonly type: "write_infer"; readonly codes: SparseCodes; readonly head: InferAnswerHead };

type WireResult =
  | { readonly started: true }
  | { readonly body: Body }
  | { readonly lines: Lines }
  | { readonly text: string }
  | { readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly contrast: Contrast }
  | { readonly infer: InferRequest }
  | { readonly answer: InferAnswer }
  /** An error as data: its class does not survive the transfer between threads. */
  | { readonly fault: WireFault };

const payloadOf = (payload: string | Uint8Array<ArrayBuffer>): WireResult =>
  typeof payload === "string" ? { text: payload } : { bytes: payload };

export function runWireTask(task: WireTask): WireResult {
  try {
    switch (task.type) {
      case "start":
        NumberKernel.ofThread();
        return { started: true };
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
      case "contrast": {
        const { a, b, m, options } = task.sets;
        return { contrast: contrast(a, b, m, options) };
      }
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

/** Result from a thread: text as UTF-8 bytes, which are moved where a string would be copied. */
export type WorkerResult = Exclude<WireResult, { readonly text: string }>;

/** A thread of the pool: the same functions as on the main thread; results are moved, not copied. */
export default function work(task: WireTask): unknown {
  const result = runWireTask(task);
  if ("text" in result) {
    const bytes = new TextEncoder().encode(result.text);
    return moving({ bytes }, [bytes.buffer]);
  }
  if ("bytes" in result) return moving(result, [result.bytes.buffer]);
  if ("lines" in result) return moving(result, [result.lines.rows.data.buffer as ArrayBuffer]);
  if ("body" in result && "rows" in result.body && result.body.rows !== null)
    return moving(result, [result.body.rows.data.buffer as ArrayBuffer]);
  if ("infer" in result) return moving(result, [result.infer.rows.data.buffer as ArrayBuffer]);
  if ("answer" in result) return moving(result, [result.answer.bytes.buffer]);
  return result;
}

const moving = (value: WorkerResult, buffers: readonly ArrayBuffer[]): unknown =>
  move({ [transferableSymbol]: buffers, [valueSymbol]: value });
