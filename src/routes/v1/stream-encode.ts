import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import type { RequestContext } from "../../engine/engine.ts";
import { clientClosed, EngineError } from "../../engine/core/errors.ts";
import { AnswerQueue, PATIENCE, patiently, pause, RETRY } from "./answer-queue.ts";
import type { LinesBody } from "../body.ts";
import { leastBytes, type Patience, watchClient } from "../clients.ts";
import { checkInflation } from "../codings.ts";
import { encodeLines, type LineEncoder } from "./encode-lines.ts";
import { type Fault, problemLine } from "./problem-line.ts";
import { LineSplitter } from "../../codecs/lines.ts";
import { WireError } from "../../codecs/codec-error.ts";
import type { WirePool } from "../threads/pool.ts";
import type { UnreadAnswer, UnreadAnswers } from "../unread-answers.ts";

export interface EncodeStreamOptions {
  readonly body: LinesBody;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly encoder: LineEncoder;
  readonly context: RequestContext;
  readonly pool: WirePool;
  /** Row length. */
  readonly width: number;
  /** Lines of one group at most. */
  readonly groupLines: number;
  /** Bytes that the answer to a line takes at most, about. */
  readonly answerBytes: number;
  readonly patience: Patience;
  /** The sum of unread answers, and this one's part of it. */
  readonly unread: UnreadAnswers;
  readonly answer: UnreadAnswer;
  /** Bytes of answers that wait for the client at most. */
  readonly maxWaiting: number;
  /** Aborted when the server closes: what is at work is answered, and then the stream ends. */
  readonly closing: AbortSignal;
  /** Told of what ends a stream that has begun. */
  readonly onFailure: (error: unknown) => void;
}

/** Bytes of one line at most: a row of 32,768 numbers of 26 characters fits. */
const MAX_LINE = 1 << 20;

/** Bytes from which a group is full: what is worth a thread of the wire pool. */
const GROUP_BYTES = 256 * 1024;

/** Groups at work at once: one being read, one encoded, one written, and one behind them. */
const MOST_GROUPS = 4;

/** Groups at work below which lines that are there do not wait for more. */
const EAGER_GROUPS = 2;

/** Milliseconds for which a connection stays open after its stream was ended, so that its client gets to read why. */
const LINGER = 1000;

/**
 * Lines in, lines out, in their order. Reading stops while four groups are at work or the answers that wait are over
 * their limit, so a stream of any length takes a bounded room:
 *
 *     request ─▶ splitter ─▶ read ─▶ engine ─▶ write ─▶ queue ─▶ client
 *        ▲                  └── ≤ 4 groups ──┘            │
 *        └───────────── reads on while there is room ─────┘
 *
 * Resolves with the answer once its first line is ready, so that what fails before is answered with a status of its own.
 * @throws what fails before the first line
 */
export function streamEncode(options: EncodeStreamOptions): Promise<Readable> {
  return new Promise((resolve, reject) => {
    new EncodeStream(options, resolve, reject).run();
  });
}

class EncodeStream {
  readonly #options: EncodeStreamOptions;
  readonly #onStarted: (answer: Readable) => void;
  readonly #onRefused: (error: unknown) => void;
  readonly #splitter: LineSplitter;
  readonly #queue: AnswerQueue;
  readonly #encoder: LineEncoder;
  /** Bytes of lines so far. */
  #received = 0;
  /** Groups being read, encoded, written or waiting for those before them, and the bytes of their lines. */
  #working = 0;
  #workingBytes = 0;
  /** Bytes that the answers to those groups are expected to take. */
  #expected = 0;
  /** Calls of the engine. The first is refused at once where there is no room: the stream has not begun. */
  #calls = 0;
  /** Groups that were answered. */
  #answers = 0;
  #over = false;
  /** The first line that has no answer yet. */
  #nextLine = 1;
  /** The answers so far, in order. */
  #order = Promise.resolve();
  #onPlace = (): void => {};

  constructor(
    options: EncodeStreamOptions,
    onStarted: (answer: Readable) => void,
    onRefused: (error: unknown) => void,
  ) {
    const { groupLines, maxWaiting, encoder, context, answer } = options;
    this.#options = options;
    this.#onStarted = onStarted;
    this.#onRefused = onRefused;
    this.#splitter = new LineSplitter({ maxLine: MAX_LINE, groupBytes: GROUP_BYTES, groupLines });
    this.#queue = new AnswerQueue({
      most: maxWaiting,
      onChange: (waiting) => answer.claim.set(waiting + this.#expected),
    });
    this.#encoder = {
      ...encoder,
      encode: (rows, budget, by) =>
        patiently(() => encoder.encode(rows, budget, by), this.#calls++ > 0, context.cancellation),
    };
  }

  run(): void {
    const { context, patience, response, closing } = this.#options;
    const least = leastBytes(patience);
    const endWatch = watchClient({
      patience,
      // Lines may come slowly, but blank ones, and the parts of one, must keep the rate.
      progress: () => this.#received + (this.#answers + this.#queue.handedOn) * least,
      waitsForClient: () => this.#working === 0 && this.#queue.waiting === 0,
      onStall: () => this.#giveUp(),
    });
    const onClosing = (): void =>
      this.#end(new EngineError("PURSUIT_DRAINING", "The server is shutting down; send the rest to another one."));
    closing.addEventListener("abort", onClosing, { once: true });
    response.once("close", () => {
      endWatch();
      closing.removeEventListener("abort", onClosing);
    });
    context.cancellation.listen(() => this.#abort());
    this.#pump().catch((error: unknown) => this.#fail(sourceFault(error)));
  }

  async #pump(): Promise<void> {
    const { request, body } = this.#options;
    const { inflater } = body;
    const source = inflater === null ? request : request.pipe(inflater);
    // Closed is also one that came whole: what is left is the inflater's then.
    const abandon = (): void => {
      if (!request.complete) inflater?.destroy(new Error("the connection closed"));
    };
    request.once("close", abandon);
    try {
      for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        if (this.#over) return;
        this.#received += chunk.length;
        if (inflater !== null) checkInflation(inflater, this.#received);
        this.#splitter.push(chunk);
        await this.#holdLines();
        while (this.#splitter.full && !this.#over) await this.#submit();
        if (this.#working < EAGER_GROUPS) await this.#submit();
      }
    } finally {
      // What a client still sends after the end is dropped, so that it gets to read why.
      request.off("close", abandon).unpipe();
      inflater?.destroy();
      request.resume();
    }
    this.#splitter.end();
    while (this.#splitter.pending > 0 && !this.#over) await this.#submit();
    await this.#order;
    if (this.#over) return;
    if (this.#answers === 0)
      throw new WireError("PURSUIT_MALFORMED_BODY", "The body holds no lines; send one row a line.");
    this.#over = true;
    this.#queue.finish();
  }

  /** Sets lines that are there to work, up to a group, once there is a place for them. */
  async #submit(): Promise<void> {
    while (this.#working >= MOST_GROUPS && !this.#over) {
      await new Promise<void>((resolve) => (this.#onPlace = resolve));
    }
    await this.#room();
    const group = this.#over ? null : this.#splitter.take();
    if (group === null) return;
    const { pool, width, answerBytes, context } = this.#options;
    this.#working++;
    this.#workingBytes += group.bytes.length;
    const expected = group.lines * answerBytes;
    this.#expected += expected;
    const answers = pool
      .readLines(group, { width, maxLine: MAX_LINE }, context.cancellation)
      .then((lines) => encodeLines(lines, this.#encoder));
    // Awaited in its turn; until then a fault of it is nobody's.
    answers.catch(() => {});
    this.#order = this.#order
      .then(async () => {
        const bytes = await answers.finally(() => {
          this.#expected -= expected;
          this.#workingBytes -= group.bytes.length;
        });
        if (this.#over) return;
        this.#nextLine = group.firstLine + group.lines;
        this.#answer(bytes);
      })
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#working--;
        this.#options.body.claim.set(this.#splitter.heldBytes + this.#workingBytes);
        this.#options.answer.claim.set(this.#queue.waiting + this.#expected);
        this.#onPlace();
        // Lines that came while enough was at work, and that no further byte may follow.
        if (this.#splitter.pending > 0 && !this.#splitter.full && this.#working < EAGER_GROUPS) void this.#submit();
      });
  }

  /** Counts the lines that came. Where there is no room a stream that has begun reads no further until there is. */
  async #holdLines(): Promise<void> {
    const { body, context } = this.#options;
    for (const until = performance.now() + PATIENCE; !this.#over; await pause(RETRY, context.cancellation)) {
      const held = this.#splitter.heldBytes + this.#workingBytes;
      if (body.claim.resize(held)) return;
      if (this.#answers === 0 || performance.now() > until) throw body.full(held - body.claim.bytes);
    }
  }

  /** Resolves when there is room for the answers to a further group. */
  async #room(): Promise<void> {
    const { unread, answer, answerBytes, groupLines, context } = this.#options;
    await this.#queue.room();
    for (const until = performance.now() + PATIENCE; !this.#over; await pause(RETRY, context.cancellation)) {
      const more = Math.min(this.#splitter.pending, groupLines) * answerBytes;
      if (unread.resize(answer, this.#queue.waiting + this.#expected + more)) return;
      if (this.#answers === 0 || performance.now() > until) throw unread.full(more);
    }
  }

  #answer(bytes: readonly Uint8Array[]): void {
    for (const part of bytes) if (part.length > 0) this.#queue.add(part);
    // Nothing but blank lines has no answer.
    if (bytes.every(({ length }) => length === 0)) return;
    if (this.#answers++ === 0) this.#onStarted(this.#queue);
  }

  /** The end, for a reason: a status of its own before the first line, a record in the stream after it. */
  #fail(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#onPlace();
    if (this.#answers === 0) {
      this.#queue.destroy();
      this.#onRefused(error);
      return;
    }
    this.#options.onFailure(error);
    const record = { error: problemLine(asFault(error)), line: this.#nextLine };
    this.#queue.add(Buffer.from(`${JSON.stringify(record)}\n`));
    this.#queue.finish();
  }

  #giveUp(): void {
    const { stallMs } = this.#options.patience;
    const message = `No whole line came for ${stallMs} ms, and no bytes at the least rate. Open a stream when there are lines to send.`;
    this.#end(new WireError("PURSUIT_BODY_STALLED", message));
  }

  /** Also the connection's end: nothing more of it is waited for. */
  #end(error: unknown): void {
    if (this.#over) return;
    const { request, response } = this.#options;
    const close = (): void => void request.socket.destroy();
    response.once("finish", () => setTimeout(close, LINGER).unref());
    this.#fail(error);
  }

  /** The client has gone. */
  #abort(): void {
    this.#over = true;
    this.#onPlace();
    this.#queue.destroy();
    this.#onRefused(clientClosed());
  }
}

/** What an inflater finds is the body's fault. */
function sourceFault(error: unknown): unknown {
  const { code = "", message } = error as NodeJS.ErrnoException;
  if (!/^(?:Z_|ERR__ERROR_|ERR_BROTLI|ERR_PADDING)/.test(code)) return error;
  return new WireError("PURSUIT_MALFORMED_BODY", `The body does not match its content-encoding: ${message}.`);
}

function asFault(error: unknown): Fault {
  if (error instanceof EngineError || error instanceof WireError) return { code: error.code, message: error.message };
  return { code: "PURSUIT_INTERNAL", message: "The server failed at this line; its log names the request_id." };
}
