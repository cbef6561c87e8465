/** Largest size of a small holder, in bytes. */
export const SMALL_BYTES = 64 * 1024;

/** Share of a ledger reserved for small holders, so that large ones never block them. */
const SHARE_OF_SMALL = 1 / 8;

/** Bytes held by requests, within one limit. */
export class ByteLedger {
  readonly #limit: number;
  readonly #rate: ReleaseRate;
  #held = 0;

  /** @param now monotonic milliseconds */
  constructor(limit: number, now: () => number = () => performance.now()) {
    this.#limit = limit;
    this.#rate = new ReleaseRate(now);
  }

  get held(): number {
    return this.#held;
  }

  /** Limit for all holders together when one of this size takes more. */
  limitFor(size: number): number {
    return size <= SMALL_BYTES ? this.#limit : Math.max(SMALL_BYTES, this.#limit - this.#limit * SHARE_OF_SMALL);
  }

  /** Whether a holder of `size` bytes in total may take `more` now. */
  fits(more: number, size: number): boolean {
    return this.#held + more <= this.limitFor(size);
  }

  /** Milliseconds until `more` will probably fit, by the recent rate of releases. */
  untilFits(more: number, size: number): number {
    return this.#rate.untilReleased(this.#held + more - this.limitFor(size));
  }

  /** Opens a claim of no bytes. */
  open(): Claim {
    return new Claim(this);
  }

  /** Called by {@link Claim}. */
  move(bytes: number): void {
    this.#held += bytes;
    if (bytes < 0) this.#rate.released(-bytes);
  }
}

/** Bytes of one holder. */
export class Claim {
  readonly #ledger: ByteLedger;
  #bytes = 0;
  #over = false;

  constructor(ledger: ByteLedger) {
    this.#ledger = ledger;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Sets the held bytes; fewer always succeed. @returns false, without a change, if they do not fit
   * @param size final size of the holder, if known
   */
  resize(bytes: number, size = bytes): boolean {
    const more = bytes - this.#bytes;
    if (this.#over || (more > 0 && !this.#ledger.fits(more, size))) return false;
    this.set(bytes);
    return true;
  }

  /** Sets the held bytes even past the limit: they exist already. */
  set(bytes: number): void {
    if (this.#over) return;
    this.#ledger.move(bytes - this.#bytes);
    this.#bytes = bytes;
  }

  /** Releases everything for good: nothing can be claimed afterwards. */
  release(): void {
    this.set(0);
    this.#over = true;
  }
}

/** Milliseconds over which releases are averaged. */
const WINDOW = 1000;

/** Maximum wait told to a client, in milliseconds. */
const LONGEST = 60_000;

/** Recent rate of releases, and the wait for more. */
export class ReleaseRate {
  readonly #now: () => number;
  /** Bytes released, each weighted by e^(−age / WINDOW). */
  #recent = 0;
  #at: number;

  /** @param now monotonic milliseconds */
  constructor(now: () => number) {
    this.#now = now;
    this.#at = now();
  }

  released(bytes: number): void {
    this.#recent = this.#decayed() + bytes;
    this.#at = this.#now();
  }

  /** Milliseconds until that many bytes will probably be released; WINDOW without recent releases. */
  untilReleased(bytes: number): number {
    const perMillisecond = this.#decayed() / WINDOW;
    // Below a byte a second counts as none.
    if (perMillisecond < 1e-3) return WINDOW;
    return Math.min(LONGEST, bytes / perMillisecond);
  }

  #decayed(): number {
    return this.#recent * Math.exp((this.#at - this.#now()) / WINDOW);
  }
}

/** Allocates without zeroing: zeroing 15 MB blocked everyone for as many milliseconds. */
export function memoryOf(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}

/** Allocates memory for a whole body and copies the first pieces into it. */
export function joined(pieces: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
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
export class Pieces {
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
