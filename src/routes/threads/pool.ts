import { availableParallelism } from "node:os";
import type { Cancellation } from "../../engine/core/cancellation.ts";
import { type Contrast, divisionSteps } from "../../engine/core/contrast.ts";
import type { Rows } from "../../engine/core/rows.ts";
import type { SparseCodes } from "../../engine/core/sparse-codes.ts";
import type { BodyForm, BodyKind, BodyOf } from "../../codecs/read-body.ts";
import { type BodyLimits, WireError } from "../../codecs/codec-error.ts";
import type { AnswerLine, LineGroup, LineReading, Lines } from "../../codecs/lines.ts";
import type { InferBytes, InferRequest } from "../oip/read-infer.ts";
import { type ContrastedSets, runWireTask, type WireTask } from "./worker.ts";
import { Lane } from "./lane.ts";
import {
  checkAnswer,
  codesAnswerBytes,
  codesBytes,
  type CodesType,
  isText,
  rowsAnswerBytes,
  type RowsType,
} from "../../codecs/answers.ts";
import type { Limits } from "../request-context.ts";
import { type InferAnswer, type InferAnswerHead, inferBytes } from "../oip/write-infer.ts";
import type { EncodeAnswerHead, Format, RowHead } from "../../codecs/write-codes.ts";
import { type SteerAnswerHead, type Steered, steeredBytes } from "../../codecs/write-steered.ts";

/**
 * Bytes from which a body is parsed, or an answer written, on another thread. Parsing 4 MiB on the main thread blocks
 * every other request for about 20 ms; below 256 KiB, about a millisecond, the transfer to a thread and back does not
 * pay (tools/bench/json-body.ts prints both).
 */
const WORTH_A_THREAD = 256 * 1024;

/**
 * The kernel reads rows of numbers that many times faster per byte than JSON is parsed: 32 rows of 384 as Python prints them,
 * 270 kB, take less than half a millisecond (tools/bench/json-body.ts).
 */
const ROWS_FASTER = 2;

/** Copying bytes is that many times faster than printing JSON. */
const BINARY_FASTER = 32;
const binaryWork = (bytes: number): number => bytes / BINARY_FASTER;

/** Rows as objects take twice the time of JSON per byte. */
const OBJECTS_SLOWER = 2;
const asObjects = (format: Format, as: CodesType): boolean =>
  as === "msgpack" && (format === "sparse" || format === "map");

/**
 * Maximum bytes of work of each lane's tasks. Tasks of other sizes do not delay a lane: beside bodies of 64 MiB a body
 * of 400 KiB waits only for others of its kind.
 */
const LANES = [1 << 20, 16 << 20, Infinity] as const;

/** Share of the processors that each lane may use; at least one thread. */
const SHARES = [1 / 2, 1 / 4, 1 / 4] as const;

/** Bytes of a thread's heap beside its body and garbage, or its answer and rows. */
const HEAP_FLOOR = 64 << 20;
const BODY_HEAP = 1.5;
const ANSWER_HEAP = 2.5;

/** One byte per letter: to search for ASCII in text that may not be UTF-8. */
const latin1 = new TextDecoder("latin1");

/** Cancelled when the client has disconnected: its waiting task is then not started. */
type Gone = Cancellation | null;

export interface WirePoolOptions extends Pick<Limits, "maxUnpacked" | "maxAnswer"> {
  /** Whether one thread handles bodies and answers of any size. */
  readonly single?: boolean;
  /** Called when a thread did not start. */
  readonly warn?: (message: string) => void;
}

/**
 * Converts bodies to rows and rows or codes to answers: small ones at once, large ones on a few threads, in lanes by
 * size.
 */
export class WirePool {
  readonly #lanes: readonly Lane[];
  readonly #maxAnswer: number;

  constructor({ maxUnpacked, maxAnswer, single = false, warn = () => {} }: WirePoolOptions) {
    this.#maxAnswer = maxAnswer;
    const heap = HEAP_FLOOR + Math.max(maxUnpacked * BODY_HEAP, maxAnswer * ANSWER_HEAP);
    const threads = single ? [1] : SHARES.map((share) => Math.max(1, Math.floor(availableParallelism() * share)));
    this.#lanes = threads.map((most) => new Lane({ threads: most, heap, warn }));
  }

  /** Resolves once each lane has a thread, which may need several tries. */
  async start(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.start()));
  }

  /** @throws WireError of the body's reader */
  async read<K extends BodyKind>(
    kind: K,
    bytes: Uint8Array<ArrayBuffer>,
    limits: BodyLimits,
    form: BodyForm = { type: "json", sizes: null },
    gone: Gone = null,
  ): Promise<BodyOf<K>> {
    // Raw numbers need no parsing that a thread could take over.
    const raw = "query" in form && form.query["dtype"] === "float32";
    const work = raw ? 0 : kind === "encode" ? bytes.length / ROWS_FASTER : bytes.length;
    const result = await this.#run({ type: "read", kind, bytes, form, limits }, work, gone, () => [bytes.buffer]);
    if (!("body" in result)) throw new Error("a read gives a body");
    return result.body as BodyOf<K>;
  }

  async readLines(group: LineGroup, reading: LineReading, gone: Gone): Promise<Lines> {
    const result = await this.#run({ type: "read_lines", group, reading }, group.bytes.length, gone, () => [
      group.bytes.buffer,
    ]);
    if (!("lines" in result)) throw new Error("a read gives lines");
    return result.lines;
  }

  async writeLines(
    codes: SparseCodes | null,
    head: RowHead,
    lines: readonly AnswerLine[],
    gone: Gone,
  ): Promise<Uint8Array> {
    const work = codes === null ? 0 : codesBytes(codes, head.format);
    const written = payload(await this.#run({ type: "write_lines", codes, head, lines }, work, gone));
    return typeof written === "string" ? Buffer.from(written) : written;
  }

  /**
   * Do not use the codes afterwards: memory that they own moves to the thread.
   * @throws WireError PURSUIT_ANSWER_TOO_LARGE; PURSUIT_INVALID_FIELD when that type of answer does not support the
   *   format
   */
  async writeCodes(
    codes: SparseCodes,
    head: EncodeAnswerHead,
    as: CodesType = "json",
    gone: Gone = null,
  ): Promise<string | Uint8Array> {
    const bytes = codesAnswerBytes(codes, head, as);
    checkAnswer(bytes, this.#maxAnswer);
    const work = isText(as) ? bytes : asObjects(head.format, as) ? bytes * OBJECTS_SLOWER : binaryWork(bytes);
    return payload(await this.#run({ type: "write_codes", codes, head, as }, work, gone, () => memoryOf(codes)));
  }

  /** @throws WireError PURSUIT_ANSWER_TOO_LARGE */
  async writeRows(rows: Rows, as: RowsType = "json", gone: Gone = null): Promise<string | Uint8Array> {
    const bytes = rowsAnswerBytes(rows, as);
    checkAnswer(bytes, this.#maxAnswer);
    const work = isText(as) ? bytes : as === "octet-stream" ? 0 : binaryWork(bytes);
    return payload(await this.#run({ type: "write_rows", rows, as }, work, gone));
  }

  /** @throws WireError PURSUIT_ANSWER_TOO_LARGE */
  async writeSteered(steered: Steered, head: SteerAnswerHead, gone: Gone): Promise<string | Uint8Array> {
    const bytes = steeredBytes(steered, head.set);
    checkAnswer(bytes, this.#maxAnswer);
    return payload(await this.#run({ type: "write_steered", steered, head }, bytes, gone));
  }

  /** Reads an inference request. Only number-by-number reading is worth a thread: FP32 as binary data is one copy. */
  async readInfer(body: InferBytes, gone: Gone): Promise<InferRequest> {
    const { bytes, headerLength } = body;
    const json = bytes.subarray(0, headerLength ?? bytes.length);
    const byNumber = json.length >= WORTH_A_THREAD || /"(?:FP16|BF16|FP64)"/.test(latin1.decode(json));
    const result = await this.#run({ type: "read_infer", body }, byNumber ? bytes.length : 0, gone, () => [
      bytes.buffer,
    ]);
    if (!("infer" in result)) throw new Error("a read gives a request");
    return result.infer;
  }

  /** Compares two sets of codes. */
  async contrast(sets: ContrastedSets, gone: Gone): Promise<Contrast> {
    // A step takes about as long as two bytes of JSON.
    const work = divisionSteps(sets.a, sets.b) * (1 + sets.options.permutations) * 2;
    const result = await this.#run({ type: "contrast", sets }, work, gone);
    if (!("contrast" in result)) throw new Error("a comparison gives a contrast");
    return result.contrast;
  }

  async writeInfer(codes: SparseCodes, head: InferAnswerHead, gone: Gone): Promise<InferAnswer> {
    const inJson = { id: head.id, outputs: head.outputs.filter(({ binary }) => !binary) };
    const result = await this.#run({ type: "write_infer", codes, head }, inferBytes(codes, inJson), gone);
    if (!("answer" in result)) throw new Error("a write gives an answer");
    return result.answer;
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }

  /** @param bytes of work, as a measure of its time */
  async #run(task: WireTask, bytes: number, gone: Gone, memory: () => ArrayBuffer[] = () => []) {
    const lane = this.#lanes[LANES.findIndex((most) => bytes <= most)] ?? this.#lanes[0]!;
    const result =
      bytes < WORTH_A_THREAD ? runWireTask(task) : await lane.run({ task, transfer: memory(), cancellation: gone });
    if ("fault" in result) throw new WireError(result.fault.code, result.fault.message);
    return result;
  }
}

/** Memory that holds one column only: requests that share a batch share its columns' memory. */
function memoryOf({ norm, trace, correlations, typicality, ...columns }: SparseCodes): ArrayBuffer[] {
  const whole = [columns, norm, trace, correlations, typicality]
    .flatMap((group) => Object.values(group ?? {}) as unknown[])
    .filter((value) => ArrayBuffer.isView(value))
    .filter(({ buffer, byteLength }) => buffer instanceof ArrayBuffer && buffer.byteLength === byteLength);
  return [...new Set(whole.map(({ buffer }) => buffer as ArrayBuffer))];
}

function payload(result: object): string | Uint8Array {
  if ("text" in result) return result.text as string;
  if ("bytes" in result) return result.bytes as Uint8Array;
  throw new Error("a write gives text");
}
