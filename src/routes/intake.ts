import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { ByteLedger, type Claim, joined, memoryOf, Pieces, SMALL_BYTES } from "./byte-ledger.ts";
import { askForBody, BODY_TIMEOUT, type Patience, watchClient } from "./clients.ts";
import { checkInflation, type Inflater } from "./codings.ts";
import { WireError } from "../codecs/codec-error.ts";

/** Limits on a body before it is parsed. */
export interface IntakeLimits extends Patience {
  /** Maximum bytes of one body. */
  readonly maxBody: number;
  /** Maximum bytes of all bodies being read or worked on. */
  readonly maxBytesInFlight: number;
}

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

  /** Bytes that bodies hold now. */
  get held(): number {
    return this.#ledger.held;
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
