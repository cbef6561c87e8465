import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { ByteLedger, type Claim, SMALL_BYTES } from "./byte-ledger.ts";
import { type Patience, watchClient } from "./client-watch.ts";
import { askForBody } from "./expectations.ts";
import { checkInflation, type Inflater } from "./inflate.ts";
import { WireError } from "../codecs/codec-error.ts";

/** Limits on a body before it is parsed. */
export interface IntakeLimits extends Patience {
  /** Maximum bytes of one body. */
  readonly maxBody: number;
  /** Maximum bytes of all bodies being read or worked on. */
  readonly maxBytesInFlight: number;
}

/** Maximum milliseconds for a whole body, however steadily it arrives. */
export const BODY_TIMEOUT = 300_000;

/** Bytes of one body before others get a turn, about half a millisecond: Node would read two mebibytes. */
const TURN_BYTES = 256 * 1024;

/** Share of a declared length that must have arrived before memory for the whole is allocated. */
const PROVEN = 1 / 8;

/** A body in memory, and its claim on the bytes in flight. */
export interface Held {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly claim: Claim;
}

/**
 * Reads request bodies into memory within the limits. Bytes count as they arrive; a declared length reserves nothing.
 * The rest of a refused body is read and dropped, so that a client which sends everything before it reads still gets
 * the answer.
 */
export class Intake {
  readonly #limits: IntakeLimits;
  readonly #onShed: () => void;
  readonly #now: () => number;
  readonly #ledger: ByteLedger;

  /** @param now monotonic milliseconds */
  constructor(limits: IntakeLimits, onShed: () => void, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#onShed = onShed;
    this.#now = now;
    this.#ledger = new ByteLedger(limits.maxBytesInFlight, now);
  }

  /**
   * Reads a body, inflated if an inflater is given. Release the claim when it is no longer needed.
   * @throws WireError PURSUIT_BODY_TOO_LARGE, PURSUIT_BYTES_IN_FLIGHT, PURSUIT_BODY_STALLED, PURSUIT_MALFORMED_BODY
   */
  async read(request: IncomingMessage, inflater: Inflater | null = null): Promise<Held> {
    const claim = this.#ledger.open();
    const header = request.headers["content-length"];
    const declared = header === undefined ? undefined : Number(header);
    const length = inflater === null ? declared : undefined;
    const hold = (bytes: number): void => {
      const held = claim.bytes + bytes;
      this.#checkSize(held);
      if (!claim.resize(held, length ?? held)) throw this.full(bytes, length ?? held);
    };
    try {
      this.#checkSize(declared ?? 0);
      // Refuse a body without room before it is sent.
      if (length !== undefined && !this.#ledger.fits(length, length)) throw this.full(length, length);
      askForBody(request);
      if (inflater !== null) return { bytes: await this.#inflate(request, inflater, hold), claim };
      if (length === undefined) return { bytes: await this.#collect(request, hold), claim };
      return { bytes: await this.#fill(request, length, hold), claim };
    } catch (error) {
      claim.release();
      request.resume();
      throw error;
    }
  }

  /** Opens a claim for a body that is only partly in memory. */
  open(): Claim {
    return this.#ledger.open();
  }

  /** Counts and words a refusal for lack of room. */
  full(more: number, size: number): WireError {
    this.#onShed();
    const limit = this.#ledger.limitFor(size);
    const kept = size <= SMALL_BYTES ? "" : ` (the rest is kept for bodies up to ${SMALL_BYTES} bytes)`;
    const message = `Request bodies hold ${this.#ledger.held} bytes; with ${more} more they would pass the limit of ${limit}${kept}. Send it again later.`;
    return new WireError("PURSUIT_BYTES_IN_FLIGHT", message, this.#ledger.untilFits(more, size) / 1000);
  }

  #checkSize(bytes: number): void {
    // A body larger than all the room can never be taken.
    const most = Math.min(this.#limits.maxBody, this.#ledger.limitFor(bytes));
    if (bytes <= most) return;
    throw new WireError(
      "PURSUIT_BODY_TOO_LARGE",
      `The body is over ${most} bytes, the most that are taken. Send the rows in parts.`,
    );
  }

  /** A body of declared length. A body in one chunk is used as it is; otherwise each chunk is copied to its place. */
  async #fill(
    request: IncomingMessage,
    length: number,
    hold: (bytes: number) => void,
  ): Promise<Uint8Array<ArrayBuffer>> {
    let bytes: Uint8Array<ArrayBuffer> | null = null;
    const early = new Pieces();
    let at = 0;
    await this.#eachChunk(request, (chunk) => {
      hold(chunk.length);
      if (chunk.length === length && isAlone(chunk)) bytes = new Uint8Array(chunk.buffer);
      else if (bytes !== null) bytes.set(chunk, at);
      else {
        early.push(chunk);
        if (early.length >= length * PROVEN) bytes = joined(early.take(), length);
      }
      at += chunk.length;
    });
    // Node has checked this; but uninitialised memory must never count as a body.
    if (at !== length) throw new WireError("PURSUIT_MALFORMED_BODY", "The body is shorter than its content-length.");
    return bytes ?? memoryOf(length);
  }

  /** A compressed body. Unpiped when it is refused, so that the rest can be drained. */
  async #inflate(
    request: IncomingMessage,
    inflater: Inflater,
    hold: (bytes: number) => void,
  ): Promise<Uint8Array<ArrayBuffer>> {
    let inflated = 0;
    // A request is also closed once it arrived whole: the rest is the inflater's then.
    const abandon = (): void => {
      if (!request.complete) inflater.destroy(new Error("the connection closed"));
    };
    request.once("close", abandon);
    try {
      request.pipe(inflater);
      return await this.#collect(
        inflater,
        (bytes) => {
          inflated += bytes;
          checkInflation(inflater, inflated);
          if (inflated > this.#limits.maxBody) throw inflatesTooFar(inflater.bytesWritten, this.#limits.maxBody);
          hold(bytes);
        },
        request,
      );
    } finally {
      request.off("close", abandon).unpipe(inflater);
      inflater.destroy();
    }
  }

  /** A body of unknown length. */
  async #collect(source: Readable, hold: (bytes: number) => void, request = source): Promise<Uint8Array<ArrayBuffer>> {
    const pieces = new Pieces();
    await this.#eachChunk(
      source,
      (chunk) => {
        hold(chunk.length);
        pieces.push(chunk);
      },
      request,
    );
    const bytes = memoryOf(pieces.length);
    let at = 0;
    let inTurn = 0;
    for (const piece of pieces.take()) {
      bytes.set(piece, at);
      at += piece.length;
      inTurn += piece.length;
      if (inTurn < TURN_BYTES) continue;
      inTurn = 0;
      await nextTurn();
    }
    return bytes;
  }

  /** @param request shows that the client goes on sending, if `source` is an inflater's output */
  #eachChunk(source: Readable, take: (chunk: Buffer) => void, request = source): Promise<void> {
    const { stallMs, minRate } = this.#limits;
    const latest = this.#now() + BODY_TIMEOUT;
    let received = 0;
    return new Promise((resolve, reject) => {
      const settle = (error?: Error): void => {
        endWatch();
        source.off("data", onData).off("end", onEnd).off("close", onClose).off("error", onError);
        request.off("data", onBytes);
        if (error) reject(error);
        else resolve();
      };
      const onStall = (): void =>
        settle(
          new WireError(
            "PURSUIT_BODY_STALLED",
            `The body came at under ${Math.max(1, minRate)} bytes a second for ${stallMs} ms. Send it again, in parts where the connection is slow.`,
          ),
        );
      const onBytes = (chunk: Buffer): void => {
        received += chunk.length;
        if (this.#now() > latest) onLate();
      };
      let inTurn = 0;
      const onData = (chunk: Buffer): void => {
        try {
          take(chunk);
        } catch (error) {
          return settle(error as Error);
        }
        inTurn += chunk.length;
        if (inTurn < TURN_BYTES) return;
        inTurn = 0;
        source.pause();
        setImmediate(() => source.resume());
      };
      const onEnd = (): void => settle();
      const onClose = (): void =>
        settle(new WireError("PURSUIT_MALFORMED_BODY", "The connection closed before the body was complete."));
      const onError = ({ code, message }: NodeJS.ErrnoException): void =>
        /^(?:Z_|ERR_)/.test(code ?? "") && source !== request
          ? settle(new WireError("PURSUIT_MALFORMED_BODY", `The body does not match its content-encoding: ${message}.`))
          : onClose();
      const onLate = (): void =>
        settle(new WireError("PURSUIT_BODY_STALLED", `The body was not complete after ${BODY_TIMEOUT} ms.`));
      const endWatch = watchClient({
        patience: this.#limits,
        progress: () => received,
        // Paused by a slow inflater, or for the turn of others.
        waitsForClient: () => !request.isPaused(),
        onStall,
      });
      request.on("data", onBytes);
      source.on("data", onData).on("end", onEnd).on("close", onClose).on("error", onError);
    });
  }
}

function inflatesTooFar(packed: number, maxBody: number): WireError {
  const message = `The first ${packed} bytes of the compressed body inflate to over ${maxBody} bytes; at most ${maxBody} are taken. Send the rows in parts.`;
  return new WireError("PURSUIT_BODY_TOO_LARGE", message);
}

/** Whether its memory holds no other bytes, so that it may move to another thread. */
const isAlone = (chunk: Buffer): chunk is Buffer<ArrayBuffer> =>
  chunk.buffer instanceof ArrayBuffer && chunk.buffer.byteLength === chunk.length;

/** Allocates without zeroing: zeroing 15 MB blocked everyone for as many milliseconds. */
function memoryOf(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}

/** Allocates memory for a whole body and copies the first pieces into it. */
function joined(pieces: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const bytes = memoryOf(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** Bytes from which a chunk is kept without a copy. */
const LARGE_CHUNK = 16 * 1024;

/** Bytes of memory for small chunks: the first piece, and later ones. */
const FIRST_PIECE = 1024;
const PIECE = 64 * 1024;

/**
 * The beginning of a body. Small chunks are copied together: as objects, chunks of one byte take 200 times their
 * length.
 */
class Pieces {
  readonly #full: Uint8Array[] = [];
  #open: Uint8Array = new Uint8Array(0);
  #used = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(chunk: Uint8Array): void {
    this.#length += chunk.length;
    if (chunk.length >= LARGE_CHUNK) {
      this.#close();
      this.#full.push(chunk);
      return;
    }
    if (this.#used + chunk.length > this.#open.length) {
      this.#close();
      this.#open = new Uint8Array(Math.max(chunk.length, Math.min(PIECE, Math.max(FIRST_PIECE, this.#length))));
    }
    this.#open.set(chunk, this.#used);
    this.#used += chunk.length;
  }

  /** Returns everything in order. Nothing may be pushed afterwards. */
  take(): readonly Uint8Array[] {
    this.#close();
    return this.#full;
  }

  #close(): void {
    if (this.#used > 0) this.#full.push(this.#open.subarray(0, this.#used));
    this.#open = new Uint8Array(0);
    this.#used = 0;
  }
}
