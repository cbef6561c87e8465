/** Bytes up to which a holder is small. */
export const SMALL_BYTES = 64 * 1024;

/** Part of a ledger that only small holders may use: large ones can never shut them out. */
const SHARE_OF_SMALL = 1 / 8;

/** Bytes that requests hold, within one limit. */
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

  /** Bytes that all holders together may have when one of this size takes more. */
  limitFor(size: number): number {
    return size <= SMALL_BYTES ? this.#limit : Math.max(SMALL_BYTES, this.#limit - this.#limit * SHARE_OF_SMALL);
  }

  /** Whether a holder of `size` bytes in all may take `more` now. */
  fits(more: number, size: number): boolean {
    return this.#held + more <= this.limitFor(size);
  }

  /** Milliseconds until `more` will probably fit, by how fast bytes were released of late. */
  untilFits(more: number, size: number): number {
    return this.#rate.untilReleased(this.#held + more - this.limitFor(size));
  }

  /** A claim of no bytes yet. */
  open(): Claim {
    return new Claim(this);
  }

  /** Called by {@link Claim}. */
  move(bytes: number): void {
    this.#held += bytes;
    if (bytes < 0) this.#rate.released(-bytes);
  }
}

/** The bytes of one holder. */
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
   * Holds `bytes` from now on; fewer always succeed. Returns false, and changes nothing, where they do not fit.
   * @param size of the holder when it is complete, where that is known
   */
  resize(bytes: number, size = bytes): boolean {
    const more = bytes - this.#bytes;
    if (this.#over || (more > 0 && !this.#ledger.fits(more, size))) return false;
    this.set(bytes);
    return true;
  }

  /** Holds `bytes` from now on, past the limit where it must: they are there already. */
  set(bytes: number): void {
    if (this.#over) return;
    this.#ledger.move(bytes - this.#bytes);
    this.#bytes = bytes;
  }

  /** Gives everything back, for good: nothing can be claimed afterwards. */
  release(): void {
    this.set(0);
    this.#over = true;
  }
}

/** Milliseconds over which releases are averaged. */
const WINDOW = 1000;

/** Milliseconds that a client is told to wait at most, however little is released. */
const LONGEST = 60_000;

/** How fast bytes were released of late, and how long more will take. */
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

  /** Milliseconds until that many bytes will probably have been released; WINDOW where nothing was of late. */
  untilReleased(bytes: number): number {
    const perMillisecond = this.#decayed() / WINDOW;
    // Under a byte a second is nothing.
    if (perMillisecond < 1e-3) return WINDOW;
    return Math.min(LONGEST, bytes / perMillisecond);
  }

  #decayed(): number {
    return this.#recent * Math.exp((this.#at - this.#now()) / WINDOW);
  }
}
