import { availableParallelism } from "node:os";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Piscina } from "piscina";
import type { Rows } from "../../engine/core/rows.ts";
import { shortageOf } from "../../engine/core/shortage.ts";
import type { SparseCodes } from "../../engine/core/sparse-codes.ts";
import type { BodyForm } from "../../codecs/body-form.ts";
import type { BodyLimits } from "../../codecs/posted-rows.ts";
import type { BodyKind, BodyOf } from "../../codecs/read-body.ts";
import type { LineGroup } from "../../codecs/line-splitter.ts";
import type { LineReading, Lines } from "../../codecs/read-lines.ts";
import type { InferBytes, InferRequest } from "../oip/read-infer.ts";
import { WireError } from "../../codecs/codec-error.ts";
import { runWireTask, type WireTask } from "./task.ts";
import { type CodesType, type RowsType } from "../../codecs/writers.ts";
import type { WorkerResult } from "./worker.ts";
import { inferBytes, type InferAnswer, type InferAnswerHead } from "../oip/write-infer.ts";
import { codesBytes, type EncodeAnswerHead, type Format, type RowHead, rowsBytes } from "../../codecs/write-codes.ts";
import type { AnswerLine } from "../../codecs/write-lines.ts";
import { binaryCodesBytes } from "../../codecs/write-safetensors.ts";
import { type SteerAnswerHead, type Steered, steeredBytes } from "../../codecs/write-steered.ts";

/**
 * Bytes from which a body is parsed, or an answer written, on another thread. Parsing 4 MiB on the main thread holds up
 * every other request for some 20 ms; below a quarter of a mebibyte, about a millisecond, the way to a thread and back
 * is not worth it (tools/bench/json-body.ts prints both).
 */
const WORTH_A_THREAD = 256 * 1024;

/** Bytes that are copied, not printed, are written that many times faster. */
const BINARY_FASTER = 32;
const binaryWork = (bytes: number): number => bytes / BINARY_FASTER;

/** But not where each row is an object of its own: a row of 16 atoms then takes some 2 µs, a byte twice what JSON's does. */
const OBJECTS_SLOWER = 2;
const asObjects = (format: Format, as: CodesType): boolean =>
  as === "msgpack" && (format === "sparse" || format === "map");

/** Threads are kept this long without work. */
const IDLE_MILLISECONDS = 30_000;

/** Milliseconds between two tries to start a thread; each failure doubles them. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5_000;

/** A byte a letter: to look for ASCII in what may not be UTF-8. */
const latin1 = new TextDecoder("latin1");

export interface WirePoolOptions {
  /** Threads at most; half of the cores if not said. */
  readonly threads?: number;
  /** Told of a thread that did not start. */
  readonly warn?: (message: string) => void;
}

/** Bodies ↔ rows and codes: small ones here and now, large ones on a small pool of threads. */
export class WirePool {
  readonly #pool: Piscina<WireTask, WorkerResult>;
  readonly #warn: (message: string) => void;
  #pause = FIRST_PAUSE;
  #closing = false;

  constructor({ threads, warn = () => {} }: WirePoolOptions = {}) {
    const source = import.meta.url.endsWith(".ts");
    this.#warn = warn;
    this.#pool = new Piscina<WireTask, WorkerResult>({
      filename: fileURLToPath(new URL(source ? "./worker.ts" : "./worker.js", import.meta.url)),
      // One stays: the system may refuse another when a large body comes. From source a thread takes a second to start.
      minThreads: source ? 0 : 1,
      maxThreads: threads ?? Math.max(1, Math.floor(availableParallelism() / 2)),
      idleTimeout: IDLE_MILLISECONDS,
      ...(source && { execArgv: ["--import", "tsx"] }),
    });
    this.#pool.on("error", (error: Error) => this.#onLost(error));
  }

  /** Resolves once a thread is there, which may need several tries. */
  async start(): Promise<void> {
    await this.#pool.run({ type: "start" });
    this.#pause = FIRST_PAUSE;
  }

  /** Piscina starts no other thread in place of one that did not start, until the next task comes; others wait behind it. */
  #onLost(error: Error): void {
    if (this.#closing) return;
    const why = shortageOf(error) ?? error.message;
    if (this.#pool.threads.length > 0) return this.#warn(`A further thread for large bodies did not start: ${why}.`);
    this.#warn(`No thread for large bodies could be started: ${why}. Trying again in ${this.#pause} ms.`);
    const pause = this.#pause;
    this.#pause = Math.min(2 * pause, LONGEST_PAUSE);
    void this.#startAfter(pause);
  }

  async #startAfter(pause: number): Promise<void> {
    await setTimeout(pause);
    // The pool may have been closed meanwhile.
    await this.start().catch(() => {});
  }

  /** @throws WireError whatever the body's reader finds */
  async read<K extends BodyKind>(
    kind: K,
    bytes: Uint8Array<ArrayBuffer>,
    limits: BodyLimits,
    form: BodyForm = { type: "json", sizes: null },
  ): Promise<BodyOf<K>> {
    // Bytes that are numbers already: there is nothing to do that a thread could take over.
    const work = form.type === "octet-stream" && form.query["dtype"] === "float32" ? 0 : bytes.length;
    const result = await this.#run({ type: "read", kind, bytes, form, limits }, work, () => [bytes.buffer]);
    if (!("body" in result)) throw new Error("a read gives a body");
    return result.body as BodyOf<K>;
  }

  async readLines(group: LineGroup, reading: LineReading): Promise<Lines> {
    const result = await this.#run({ type: "read_lines", group, reading }, group.bytes.length, () => [
      group.bytes.buffer,
    ]);
    if (!("lines" in result)) throw new Error("a read gives lines");
    return result.lines;
  }

  async writeLines(codes: SparseCodes | null, head: RowHead, lines: readonly AnswerLine[]): Promise<Uint8Array> {
    const work = codes === null ? 0 : codesBytes(codes, head.format);
    const written = payload(await this.#run({ type: "write_lines", codes, head, lines }, work));
    return typeof written === "string" ? Buffer.from(written) : written;
  }

  /**
   * The codes are not to be used afterwards: what memory is theirs alone moves to the thread that writes them.
   * @throws WireError PURSUIT_INVALID_FIELD where that type of answer does not know the format
   */
  async writeCodes(codes: SparseCodes, head: EncodeAnswerHead, as: CodesType = "json"): Promise<string | Uint8Array> {
    const bytes = isText(as) ? codesBytes(codes, head.format) : binaryCodesBytes(codes, head.format);
    const work = isText(as) ? bytes : asObjects(head.format, as) ? bytes * OBJECTS_SLOWER : binaryWork(bytes);
    return payload(await this.#run({ type: "write_codes", codes, head, as }, work, () => memoryOf(codes)));
  }

  async writeRows(rows: Rows, as: RowsType = "json"): Promise<string | Uint8Array> {
    const work = isText(as) ? rowsBytes(rows) : binaryWork(as === "octet-stream" ? 0 : rows.data.byteLength);
    return payload(await this.#run({ type: "write_rows", rows, as }, work));
  }

  async writeSteered(steered: Steered, head: SteerAnswerHead): Promise<string | Uint8Array> {
    return payload(await this.#run({ type: "write_steered", steered, head }, steeredBytes(steered, head.set)));
  }

  /** An inference request. Only what is read number by number is worth a thread: FP32 as binary data is one copy. */
  async readInfer(body: InferBytes): Promise<InferRequest> {
    const { bytes, headerLength } = body;
    const json = bytes.subarray(0, headerLength ?? bytes.length);
    const byNumber = json.length >= WORTH_A_THREAD || /"(?:FP16|BF16|FP64)"/.test(latin1.decode(json));
    const result = await this.#run({ type: "read_infer", body }, byNumber ? bytes.length : 0, () => [bytes.buffer]);
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
    this.#closing = true;
    await this.#pool.close({ force: true });
  }

  async #run(task: WireTask, bytes: number, memory: () => ArrayBuffer[] = () => []) {
    const result = bytes < WORTH_A_THREAD ? runWireTask(task) : await this.#pool.run(task, { transferList: memory() });
    if ("fault" in result) throw new WireError(result.fault.code, result.fault.message);
    return result;
  }
}

/** Memory that holds one column and nothing else: columns of a batch that several requests share lie side by side. */
function memoryOf({ norm, trace, ...columns }: SparseCodes): ArrayBuffer[] {
  const whole = [columns, norm, trace]
    .flatMap((group) => Object.values(group ?? {}) as unknown[])
    .filter((value) => ArrayBuffer.isView(value))
    .filter(({ buffer, byteLength }) => buffer instanceof ArrayBuffer && buffer.byteLength === byteLength);
  return [...new Set(whole.map(({ buffer }) => buffer as ArrayBuffer))];
}

const isText = (as: CodesType | RowsType): boolean => as === "json" || as === "ndjson";

function payload(result: object): string | Uint8Array {
  if ("text" in result) return result.text as string;
  if ("bytes" in result) return result.bytes as Uint8Array;
  throw new Error("a write gives text");
}
