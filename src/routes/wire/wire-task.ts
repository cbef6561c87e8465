import type { Rows } from "../../engine/rows.ts";
import type { SparseCodes } from "../../engine/sparse-codes.ts";
import type { RowLimits } from "./posted-rows.ts";
import { BODY_READERS, type BodyKind, type Body } from "./read-body.ts";
import { type InferBytes, type InferRequest, readInfer } from "./read-infer.ts";
import { WireError, type WireFault } from "./wire-error.ts";
import { type InferAnswer, type InferAnswerHead, writeInfer } from "./write-infer.ts";
import { type EncodeAnswerHead, writeCodes, writeRows } from "./write-codes.ts";
import { type SteerAnswerHead, type Steered, writeSteered } from "./write-steered.ts";

/** Work on bytes that is worth a thread of its own when there are many of them. */
export type WireTask =
  | { readonly type: "read"; readonly kind: BodyKind; readonly bytes: Uint8Array; readonly limits: RowLimits }
  | { readonly type: "write_codes"; readonly codes: SparseCodes; readonly head: EncodeAnswerHead }
  | { readonly type: "write_rows"; readonly rows: Rows }
  | { readonly type: "write_steered"; readonly steered: Steered; readonly head: SteerAnswerHead }
  | { readonly type: "read_infer"; readonly body: InferBytes }
  | { readonly type: "write_infer"; readonly codes: SparseCodes; readonly head: InferAnswerHead };

export type WireResult =
  | { readonly body: Body }
  | { readonly text: string }
  | { readonly infer: InferRequest }
  | { readonly answer: InferAnswer }
  /** An error as data: its class does not survive the way between threads. */
  | { readonly fault: WireFault };

export function runWireTask(task: WireTask): WireResult {
  try {
    switch (task.type) {
      case "read":
        return { body: BODY_READERS[task.kind](task.bytes, task.limits) };
      case "write_codes":
        return { text: writeCodes(task.codes, task.head) };
      case "write_rows":
        return { text: writeRows(task.rows) };
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
