import type { Cancellation } from "../../engine/core/cancellation.ts";
import { EngineError } from "../../engine/core/errors.ts";
import { Readable } from "node:stream";

export interface AnswerQueueOptions {
  /** Maximum bytes that may wait. */
  readonly most: number;
  /** Called whenever the number of waiting bytes changes. */
  readonly onChange: (waiting: number) => void;
}

/** Bytes passed on at once: progress is measured by piece. */
const PIECE_BYTES = 64 * 1024;

/**
 * Answers for a client that may be slower than the server. They wait in memory, up to `most`; `room` tells when more
 * may be added. It also serves a client that sends everything before it reads.
 */
export class AnswerQueue extends Readable {
  readonly #options: AnswerQueueOptions;
  #pieces: Uint8Array[] = [];
  #waiting = 0;
  #handedOn = 0;
  #wanted = false;
  #finished = false;
  #onRoom: (() => void)[] = [];

  constructor(options: AnswerQueueOptions) {
    super({ highWaterMark: PIECE_BYTES });
    this.#options = options;
  }

  /** Bytes waiting. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Bytes that the client's connection has taken. */
  get handedOn(): number {
    return this.#handedOn;
  }

  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) this.#pieces.push(bytes.subarray(at, at + PIECE_BYTES));
    this.#waiting += bytes.length;
    this.#options.onChange(this.#waiting);
    this.#give();
  }

  /** Nothing more will be added. */
  finish(): void {
    this.#finished = true;
    this.#give();
  }

  /** Resolves when there is room for more, or when nobody will read it. */
  async room(): Promise<void> {
    while (!this.destroyed && this.#waiting >= this.#options.most) {
      await new Promise<void>((resolve) => this.#onRoom.push(resolve));
    }
  }

  override _read(): void {
    this.#wanted = true;
    this.#give();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#pieces = [];
    this.#waiting = 0;
    this.#options.onChange(0);
    this.#tell();
    callback(error);
  }

  #give(): void {
    const before = this.#waiting;
    while (this.#wanted && this.#pieces.length > 0) {
      const piece = this.#pieces.shift()!;
      this.#waiting -= piece.length;
      this.#handedOn += piece.length;
      this.#wanted = this.push(piece);
    }
    if (this.#waiting !== before) this.#options.onChange(this.#waiting);
    if (this.#waiting < this.#options.most) this.#tell();
    if (this.#finished && this.#pieces.length === 0 && !this.destroyed && !this.readableEnded) {
      this.#finished = false;
      this.push(null);
    }
  }

  #tell(): void {
    const waiting = this.#onRoom;
    this.#onRoom = [];
    for (const resolve of waiting) resolve();
  }
}

/** Milliseconds after which it asks again at the latest: what fills the queue may be its own lines before these. */
export const RETRY = 250;

/** Milliseconds for which a stream that has begun waits for a place in a full queue, or for memory, before it ends. */
export const PATIENCE = 60_000;

/** A stream that has begun waits for a place in the queue; meanwhile little more of it is read. */
export async function patiently<T>(run: () => Promise<T>, hasBegun: boolean, cancellation: Cancellation): Promise<T> {
  for (const until = performance.now() + PATIENCE; ;) {
    try {
      return await run();
    } catch (error) {
      const isFull = error instanceof EngineError && error.code === "PURSUIT_QUEUE_FULL";
      if (!isFull || !hasBegun || performance.now() > until) throw error;
      await pause(Math.min(RETRY, (error.retryAfter ?? 1) * 1000), cancellation);
    }
  }
}

/** Over at once when the client goes: what it asks for next is refused as such. */
export function pause(milliseconds: number, cancellation: Cancellation): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      cancellation.unlisten(wake);
      resolve();
    };
    const timer = setTimeout(wake, milliseconds);
    cancellation.listen(wake);
  });
}
