import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Piscina } from "piscina";
import type { Rows } from "../../engine/rows.ts";
import type { SparseCodes } from "../../engine/sparse-codes.ts";
import type { RowLimits } from "./posted-rows.ts";
import type { BodyKind, BodyOf } from "./read-body.ts";
import type { InferBytes, InferRequest } from "./read-infer.ts";
import { WireError } from "./wire-error.ts";
import { runWireTask, type WireTask } from "./wire-task.ts";
import type { WorkerResult } from "./wire-worker.ts";
import { inferBytes, type InferAnswer, type InferAnswerHead } from "./write-infer.ts";
import { codesBytes, type EncodeAnswerHead, rowsBytes } from "./write-codes.ts";
import { type SteerAnswerHead, type Steered, steeredBytes } from "./write-steered.ts";

/**
 * Bytes from which a body is parsed, or an answer written, on another thread. Parsing 4 MiB on the main thread holds up
 * every other request for some 20 ms; below a quarter of a mebibyte, about a millisecond, the way to a thread and back
 * is not worth it (tools/bench/json-body.ts prints both).
 */
const WORTH_A_THREAD = 256 * 1024;

/** Threads are kept this long without work. */
const IDLE_MILLISECONDS = 30_000;

/** A byte a letter: to look for ASCII in what may not be UTF-8. */
const latin1 = new TextDecoder("latin1");

/** Bodies ↔ rows and codes: small ones here and now, large ones on a small pool of threads. */
export class WirePool {
  readonly #pool: Piscina<WireTask, WorkerResult>;

  constructor() {
    const source = import.meta.url.endsWith(".ts");
    this.#pool = new Piscina<WireTask, WorkerResult>({
      filename: fileURLToPath(new URL(source ? "./wire-worker.ts" : "./wire-worker.js", import.meta.url)),
      minThreads: 0,
      maxThreads: Math.max(1, Math.floor(availableParallelism() / 2)),
      idleTimeout: IDLE_MILLISECONDS,
      ...(source && { execArgv: ["--import", "tsx"] }),
    });
  }

  /** @throws WireError whatever the body's reader finds */
  async read<K extends BodyKind>(kind: K, bytes: Uint8Array<ArrayBuffer>, limits: RowLimits): Promise<BodyOf<K>> {
    const result = await this.#run({ type: "read", kind, bytes, limits }, bytes.length, [bytes.buffer]);
    if (!("body" in result)) throw new Error("a read gives a body");
    return result.body as BodyOf<K>;
  }

  async writeCodes(codes: SparseCodes, head: EncodeAnswerHead): Promise<string | Uint8Array> {
    return payload(await this.#run({ type: "write_codes", codes, head }, codesBytes(codes, head.format)));
  }

  async writeRows(rows: Rows): Promise<string | Uint8Array> {
    return payload(await this.#run({ type: "write_rows", rows }, rowsBytes(rows)));
  }

  async writeSteered(steered: Steered, head: SteerAnswerHead): Promise<string | Uint8Array> {
    return payload(await this.#run({ type: "write_steered", steered, head }, steeredBytes(steered, head.set)));
  }

  /** An inference request. Only what is read number by number is worth a thread: FP32 as binary data is one copy. */
  async readInfer(body: InferBytes): Promise<InferRequest> {
    const { bytes, headerLength } = body;
    const json = bytes.subarray(0, headerLength ?? bytes.length);
    const byNumber = json.length >= WORTH_A_THREAD || /"(?:FP16|BF16|FP64)"/.test(latin1.decode(json));
    const result = await this.#run({ type: "read_infer", body }, byNumber ? bytes.length : 0, [bytes.buffer]);
    if (!("infer" in result)) throw new Error("a read gives a request");
    return result.infer;
  }

  async writeInfer(codes: SparseCodes, head: InferAnswerHead): Promise<InferAnswer> {
    const inJson = { id: head.id, outputs: head.outputs.filter(({ binary }) => !binary) };
    const result = await this.#run({ type: "write_infer", codes, head }, inferBytes(codes, inJson));
    if (!("answer" in result)) throw new Error("a write gives an answer");
    return result.answer;
  }

  async close(): Promise<void> {
    await this.#pool.close({ force: true });
  }

  async #run(task: WireTask, bytes: number, move: ArrayBuffer[] = []) {
    const result = bytes < WORTH_A_THREAD ? runWireTask(task) : await this.#pool.run(task, { transferList: move });
    if ("fault" in result) throw new WireError(result.fault.code, result.fault.message);
    return result;
  }
}

function payload(result: object): string | Uint8Array {
  if ("text" in result) return result.text as string;
  if ("bytes" in result) return result.bytes as Uint8Array;
  throw new Error("a write gives text");
}
