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
