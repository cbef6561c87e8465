import type { IncomingMessage } from "node:http";
import { ReleaseRate } from "./release-rate.ts";
import { WireError } from "./wire/wire-error.ts";

/** Limits on what is read of a body before anything is parsed. */
export interface IntakeLimits {
  /** Bytes of one body at most. */
  readonly maxBody: number;
  /** Bytes of all bodies being read or worked on at most. */
  readonly maxBytesInFlight: number;
  /** Milliseconds without a byte after which a body is given up. */
  readonly stallMs: number;
}

/** A body in memory. */
export interface Held {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Counts further bytes that it takes, as when it is inflated. @throws WireError PURSUIT_BYTES_IN_FLIGHT */
  readonly claim: (bytes: number) => void;
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
  #inFlight = 0;

  /** @param now monotonic milliseconds */
  constructor(limits: IntakeLimits, onShed: () => void, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#onShed = onShed;
    this.#rate = new ReleaseRate(now);
  }

  /**
   * The bytes of a body, how to count what they become (`claim`), and how to say that all of it is no longer needed.
   * @throws WireError PURSUIT_BODY_TOO_LARGE, PURSUIT_BYTES_IN_FLIGHT, PURSUIT_BODY_STALLED, PURSUIT_MALFORMED_BODY
   */
  async read(request: IncomingMessage): Promise<Held> {
    let held = 0;
    let released = false;
    const claim = (bytes: number): void => {
      if (released) return;
      const over = this.#inFlight + bytes - this.#limits.maxBytesInFlight;
      if (over > 0) {
        this.#onShed();
        const message = `${this.#inFlight} bytes of request bodies are being worked on; this one would pass the limit of ${this.#limits.maxBytesInFlight}.`;
        throw new WireError("PURSUIT_BYTES_IN_FLIGHT", message, this.#rate.untilReleased(over) / 1000);
      }
      this.#inFlight += bytes;
      held += bytes;
    };
    const hold = (bytes: number): void => {
      this.#checkSize(held + bytes);
      claim(bytes);
    };
    const release = (): void => {
      released = true;
      this.#inFlight -= held;
      this.#rate.released(held);
      held = 0;
    };
    try {
      const declared = request.headers["content-length"];
      if (declared === undefined) return { bytes: await this.#collect(request, hold), claim, release };
      hold(Number(declared));
      return { bytes: await this.#fill(request, new Uint8Array(held)), claim, release };
    } catch (error) {
      release();
      request.resume();
      throw error;
    }
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

  /** A body of declared length: each chunk is copied once, to its place. Node ends the stream at that length. */
  async #fill(request: IncomingMessage, bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    let at = 0;
    await this.#eachChunk(request, (chunk) => {
      bytes.set(chunk, at);
      at += chunk.length;
    });
    return bytes;
  }

  /** A chunked body, whose length shows at its end. */
  async #collect(request: IncomingMessage, hold: (bytes: number) => void): Promise<Uint8Array<ArrayBuffer>> {
    const chunks: Buffer[] = [];
    await this.#eachChunk(request, (chunk) => {
      hold(chunk.length);
      chunks.push(chunk);
    });
    return new Uint8Array(Buffer.concat(chunks));
  }

  #eachChunk(request: IncomingMessage, take: (chunk: Buffer) => void): Promise<void> {
    const { stallMs } = this.#limits;
    return new Promise((resolve, reject) => {
      const settle = (error?: Error): void => {
        clearTimeout(timer);
        request.off("data", onData).off("end", onEnd).off("close", onClose).off("error", onClose);
        if (error) reject(error);
        else resolve();
      };
      const onStall = (): void =>
        settle(new WireError("PURSUIT_BODY_STALLED", `No byte of the body came for ${stallMs} ms.`));
      const onData = (chunk: Buffer): void => {
        timer.refresh();
        try {
          take(chunk);
        } catch (error) {
          settle(error as Error);
        }
      };
      const onEnd = (): void => settle();
      const onClose = (): void =>
        settle(new WireError("PURSUIT_MALFORMED_BODY", "The connection closed before the body was complete."));
      const timer = setTimeout(onStall, stallMs);
      request.on("data", onData).on("end", onEnd).on("close", onClose).on("error", onClose);
    });
  }
}
