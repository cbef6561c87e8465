import type { IncomingMessage } from "node:http";
import type { Readable, Transform } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { askForBody } from "./expectations.ts";
import { ReleaseRate } from "./release-rate.ts";
import { WireError } from "../codecs/codec-error.ts";

/** Limits on what is read of a body before anything is parsed. */
export interface IntakeLimits {
  /** Bytes of one body at most. */
  readonly maxBody: number;
  /** Bytes of all bodies being read or worked on at most. */
  readonly maxBytesInFlight: number;
  /** Milliseconds without a byte after which a body is given up. */
  readonly stallMs: number;
}

/** Bytes set aside. `grow` says whether there were so many more; a released one must not grow. */
export interface Reservation {
  readonly grow: (more: number) => boolean;
  readonly release: () => void;
}

/** Milliseconds that a client may take to send a whole body, however steadily it drips. */
export const BODY_TIMEOUT = 300_000;

/** Bytes of one body after which others get a turn, some half a millisecond: Node would go on for two mebibytes. */
const TURN_BYTES = 256 * 1024;

/** A body in memory. */
export interface Held {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly release: () => void;
}

/**
 * Pre-admission: reads request bodies into memory within the limits. A body that is refused is drained unparsed, so
 * that the client, which may well send it all before it listens, still gets to read why.
 */
export class Intake {
  readonly #limits: IntakeLimits;
  readonly #onShed: () => void;
  readonly #rate: ReleaseRate;
  readonly #now: () => number;
  #inFlight = 0;

  /** @param now monotonic milliseconds */
  constructor(limits: IntakeLimits, onShed: () => void, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#onShed = onShed;
    this.#rate = new ReleaseRate(now);
    this.#now = now;
  }

  /**
   * The bytes of a body, and how to say that they are no longer needed. With an inflater, what it makes of them: its
   * output is counted as it comes, so that a small body which inflates to a huge one is stopped at the limit.
   * @throws WireError PURSUIT_BODY_TOO_LARGE, PURSUIT_BYTES_IN_FLIGHT, PURSUIT_BODY_STALLED, PURSUIT_MALFORMED_BODY
   */
  async read(request: IncomingMessage, inflater: Transform | null = null): Promise<Held> {
    let held = 0;
    const hold = (bytes: number): void => {
      this.#checkSize(held + bytes);
      this.#checkInFlight(bytes);
      this.#inFlight += bytes;
      held += bytes;
    };
    const release = (): void => {
      this.#inFlight -= held;
      this.#rate.released(held);
      held = 0;
    };
    try {
      const declared = request.headers["content-length"];
      if (inflater !== null) {
        this.#checkSize(Number(declared ?? 0));
        askForBody(request);
        return { bytes: await this.#inflate(request, inflater, hold), release };
      }
      if (declared !== undefined) hold(Number(declared));
      askForBody(request);
      if (declared === undefined) return { bytes: await this.#collect(request, hold), release };
      return { bytes: await this.#fill(request, held), release };
    } catch (error) {
      release();
      request.resume();
      throw error;
    }
  }

  /**
   * A share of the bytes in flight for work that holds a body in part only.
   * @throws WireError PURSUIT_BYTES_IN_FLIGHT
   */
  reserve(bytes: number): Reservation {
    this.#checkInFlight(bytes);
    this.#inFlight += bytes;
    let held = bytes;
    return {
      grow: (more) => {
        if (this.#inFlight + more > this.#limits.maxBytesInFlight) return false;
        this.#inFlight += more;
        held += more;
        return true;
      },
      release: () => {
        this.#inFlight -= held;
        this.#rate.released(held);
        held = 0;
      },
    };
  }

  #checkInFlight(bytes: number): void {
    const over = this.#inFlight + bytes - this.#limits.maxBytesInFlight;
    if (over <= 0) return;
    this.#onShed();
    const message = `${this.#inFlight} bytes of request bodies are being worked on; this one would pass the limit of ${this.#limits.maxBytesInFlight}.`;
    throw new WireError("PURSUIT_BYTES_IN_FLIGHT", message, this.#rate.untilReleased(over) / 1000);
  }

  #checkSize(bytes: number): void {
    // One that all the room there is could not hold is never going to be taken.
    const most = Math.min(this.#limits.maxBody, this.#limits.maxBytesInFlight);
    if (bytes <= most) return;
    throw new WireError(
      "PURSUIT_BODY_TOO_LARGE",
      `The body is over ${most} bytes. Send the rows in parts, or as base64 float32.`,
    );
  }

  /**
   * A body of declared length, at which Node ends the stream: one that comes whole is taken as it is, of another each
   * chunk is copied once, to its place.
   */
  async #fill(request: IncomingMessage, length: number): Promise<Uint8Array<ArrayBuffer>> {
    let bytes: Uint8Array<ArrayBuffer> | null = null;
    let at = 0;
    await this.#eachChunk(request, (chunk) => {
      if (chunk.length === length && isAlone(chunk)) bytes = new Uint8Array(chunk.buffer);
      else {
        bytes ??= memoryOf(length);
        bytes.set(chunk, at);
      }
      at += chunk.length;
    });
    // Node has seen to it; but memory that nobody wrote must never be taken for a body.
    if (at !== length) throw new WireError("PURSUIT_MALFORMED_BODY", "The body is shorter than its content-length.");
    return bytes ?? memoryOf(length);
  }

  /** A compressed body. Unpiped when it is refused, so that what is left of it can be drained. */
  async #inflate(
    request: IncomingMessage,
    inflater: Transform,
    hold: (bytes: number) => void,
  ): Promise<Uint8Array<ArrayBuffer>> {
    let packed = 0;
    let inflated = 0;
    const count = (chunk: Buffer): void => void (packed += chunk.length);
    request.on("data", count);
    // Closed is also one that came whole: what is left is the inflater's then.
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
          hold(bytes);
        },
        request,
      );
    } catch (error) {
      if (error instanceof WireError && error.code === "PURSUIT_BODY_TOO_LARGE") {
        const { maxBody } = this.#limits;
        const said = `The first ${packed} bytes of the compressed body inflate to over ${inflated} bytes;`;
        throw new WireError(error.code, `${said} at most ${maxBody} are taken. Send the rows in parts.`);
      }
      throw error;
    } finally {
      request.off("data", count).off("close", abandon).unpipe(inflater);
      inflater.destroy();
    }
  }

  /** A body whose length shows at its end. */
  async #collect(source: Readable, hold: (bytes: number) => void, request = source): Promise<Uint8Array<ArrayBuffer>> {
    const chunks: Buffer[] = [];
    let length = 0;
    await this.#eachChunk(
      source,
      (chunk) => {
        hold(chunk.length);
        length += chunk.length;
        chunks.push(chunk);
      },
      request,
    );
    const bytes = memoryOf(length);
    let at = 0;
    let inTurn = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
      inTurn += chunk.length;
      if (inTurn < TURN_BYTES) continue;
      inTurn = 0;
      await nextTurn();
    }
    return bytes;
  }

  /** @param request whose bytes show that the client goes on, where `source` is what an inflater makes of them */
  #eachChunk(source: Readable, take: (chunk: Buffer) => void, request = source): Promise<void> {
    const { stallMs } = this.#limits;
    const latest = this.#now() + BODY_TIMEOUT;
    return new Promise((resolve, reject) => {
      const settle = (error?: Error): void => {
        clearTimeout(timer);
        source.off("data", onData).off("end", onEnd).off("close", onClose).off("error", onError);
        request.off("data", onBytes);
        if (error) reject(error);
        else resolve();
      };
      const onStall = (): void =>
        settle(new WireError("PURSUIT_BODY_STALLED", `No byte of the body came for ${stallMs} ms.`));
      // Without a timer of its own: while nothing comes the other runs out.
      const onBytes = (): void => {
        if (this.#now() > latest) onLate();
        else timer.refresh();
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
          ? settle(
              new WireError("PURSUIT_MALFORMED_BODY", `The body is not what its content-encoding says: ${message}.`),
            )
          : onClose();
      const onLate = (): void =>
        settle(new WireError("PURSUIT_BODY_STALLED", `The body was not complete after ${BODY_TIMEOUT} ms.`));
      const timer = setTimeout(onStall, stallMs);
      request.on("data", onBytes);
      source.on("data", onData).on("end", onEnd).on("close", onClose).on("error", onError);
    });
  }
}

/** Whether nobody else's bytes lie in its memory: it may be handed to another thread. */
const isAlone = (chunk: Buffer): chunk is Buffer<ArrayBuffer> =>
  chunk.buffer instanceof ArrayBuffer && chunk.buffer.byteLength === chunk.length;

/** Memory of its own, to be filled: zeroing 15 MB of it first held everybody up for as many milliseconds. */
function memoryOf(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}
