import { Readable } from "node:stream";

export interface AnswerQueueOptions {
  /** Bytes that may wait at most. */
  readonly most: number;
  /** Told whenever the bytes that wait have changed. */
  readonly onChange: (waiting: number) => void;
}

/** Bytes handed on at once: progress is seen by the piece. */
const PIECE_BYTES = 64 * 1024;

/**
 * Answers on their way to a client that may be slower than we are: what is added waits in memory, up to `most`, and
 * `room` tells when there may be more. A client that sends everything before it reads anything is answered from here.
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

  /** Bytes that wait to be taken. */
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

  /** Nothing will be added. */
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
