import type { Socket } from "node:net";
import { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ByteLedger, type Claim } from "./byte-ledger.ts";
import { WireError } from "../codecs/codec-error.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The unread part of its answer; null before there is one. */
    unread: UnreadAnswer | null;
  }
}

export interface UnreadLimits {
  /** Maximum bytes of all unread answers. */
  readonly maxUnread: number;
  /** Milliseconds without a piece read after which a client is disconnected. */
  readonly stallMs: number;
}

/** Milliseconds without a byte read after which an answer may be dropped for another that needs room. */
const GIVES_WAY = 1000;

/** Milliseconds between two searches for such answers. */
const BETWEEN_LOOKS = 100;

/** An answer being sent. */
export interface UnreadAnswer {
  readonly claim: Claim;
  readonly socket: Socket;
  /** Bytes of the connection that the system had taken at the last check, and when this was first seen. */
  taken: number;
  movedAt: number;
}

/**
 * Limits the bytes of unread answers. A client that reads nothing for `stallMs` (up to half as much again) is
 * disconnected; when another answer needs room, so is one that reads nothing for a second.
 */
export class UnreadAnswers {
  readonly #limits: UnreadLimits;
  readonly #onShed: () => void;
  readonly #now: () => number;
  readonly #ledger: ByteLedger;
  readonly #answers = new Set<UnreadAnswer>();
  readonly #timer: NodeJS.Timeout;
  #lookedAt = -Infinity;

  /** @param now monotonic milliseconds */
  constructor(limits: UnreadLimits, onShed: () => void, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#onShed = onShed;
    this.#now = now;
    this.#ledger = new ByteLedger(limits.maxUnread, now);
    this.#timer = setInterval(() => this.endStalled(), limits.stallMs / 2).unref();
  }

  get held(): number {
    return this.#ledger.held;
  }

  /** Opens the answer to a request, with no bytes yet. It ends when its response closes. */
  open(request: FastifyRequest, { raw }: FastifyReply): UnreadAnswer {
    if (request.unread) return request.unread;
    const { socket } = request.raw;
    const answer = { claim: this.#ledger.open(), socket, taken: takenOf(socket), movedAt: this.#now() };
    this.#answers.add(answer);
    raw.once("close", () => this.#end(answer));
    request.unread = answer;
    return answer;
  }

  #end(answer: UnreadAnswer): void {
    this.#answers.delete(answer);
    answer.claim.release();
  }

  /** Whether an answer may hold that many bytes, after dropping others if necessary. A single answer always may. */
  resize({ claim }: UnreadAnswer, bytes: number): boolean {
    if (claim.resize(bytes)) return true;
    const more = bytes - claim.bytes;
    this.#makeRoom(more, bytes);
    if (claim.resize(bytes)) return true;
    if (this.#ledger.held > claim.bytes) return false;
    claim.set(bytes);
    return true;
  }

  /** Makes room for an answer of that many bytes before it is made. @throws WireError PURSUIT_ANSWERS_UNREAD */
  admit(request: FastifyRequest, reply: FastifyReply, bytes: number): void {
    if (!this.resize(this.open(request, reply), bytes)) throw this.full(bytes);
  }

  /** Counts and words a refusal for lack of room. */
  full(bytes: number): WireError {
    this.#onShed();
    const message = `Answers that their clients have not read hold ${this.#ledger.held} bytes; with the ${bytes} of this one they would pass the limit of ${this.#ledger.limitFor(bytes)}. Send the request again later, or ask for less at once.`;
    return new WireError("PURSUIT_ANSWERS_UNREAD", message, this.#ledger.untilFits(bytes, bytes) / 1000);
  }

  /** Disconnects clients that have stopped reading; called each half of `stallMs`. */
  endStalled(): void {
    for (const answer of this.#answers) {
      if (this.#idleTime(answer) >= this.#limits.stallMs) this.#giveUp(answer);
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Milliseconds that the connection has waited for its client. */
  #idleTime(answer: UnreadAnswer): number {
    const { socket } = answer;
    const taken = takenOf(socket);
    if (taken !== answer.taken || socket.writableLength === 0) {
      answer.taken = taken;
      answer.movedAt = this.#now();
    }
    return this.#now() - answer.movedAt;
  }

  #makeRoom(more: number, size: number): void {
    if (this.#now() - this.#lookedAt < BETWEEN_LOOKS) return;
    this.#lookedAt = this.#now();
    const idle = [...this.#answers].filter((one) => this.#idleTime(one) >= GIVES_WAY && one.claim.bytes > 0);
    for (const answer of idle.toSorted((a, b) => a.movedAt - b.movedAt)) {
      if (this.#ledger.fits(more, size)) return;
      this.#giveUp(answer);
    }
  }

  #giveUp(answer: UnreadAnswer): void {
    answer.socket.destroy();
    this.#end(answer);
  }
}

/** Bytes of a connection that the system has taken. */
const takenOf = (socket: Socket): number => socket.bytesWritten - socket.writableLength;

/** Bytes from which an answer is written in pieces, and bytes of one piece: progress is measured by piece. */
const IN_PIECES = 128 * 1024;
const PIECE_BYTES = 64 * 1024;

/** Counts every answer until its client has read it. Register it after hooks that change payloads. */
export function registerUnread(app: FastifyInstance, unread: UnreadAnswers): void {
  app.decorateRequest("unread", null);
  app.addHook("onClose", () => unread.close());
  app.addHook("onSend", (request, reply, payload, next) => {
    const answer = unread.open(request, reply);
    if (!isWhole(payload)) return next();
    // The finished answer no longer needs the body, however slowly it is read.
    request.body = undefined;
    request.bodyClaim?.release();
    if (!unread.resize(answer, payload.length)) {
      const { socket } = request.raw;
      // A client that sends further requests without reading, or that cannot even be told.
      if (socket.writableLength > 0 || reply.statusCode >= 400) return void socket.destroy();
      void reply.removeHeader("content-encoding").removeHeader("etag");
      return next(unread.full(payload.length));
    }
    if (payload.length < IN_PIECES || request.method === "HEAD") return next();
    void reply.header("content-length", Buffer.byteLength(payload));
    next(null, inPieces(payload));
  });
}

const isWhole = (payload: unknown): payload is string | Uint8Array =>
  typeof payload === "string" || payload instanceof Uint8Array;

function inPieces(payload: string | Uint8Array): Readable {
  let at = 0;
  return new Readable({
    highWaterMark: PIECE_BYTES,
    read() {
      const end = endOfPiece(payload, at);
      if (at === end) return void this.push(null);
      const piece = typeof payload === "string" ? Buffer.from(payload.slice(at, end)) : payload.subarray(at, end);
      at = end;
      this.push(piece);
    },
  });
}

/** Never split a character. */
function endOfPiece(payload: string | Uint8Array, at: number): number {
  const end = Math.min(at + PIECE_BYTES, payload.length);
  return typeof payload === "string" && end < payload.length && (payload.charCodeAt(end - 1) & 0xfc00) === 0xd800
    ? end + 1
    : end;
}
