/** Milliseconds over which releases are averaged. */
const WINDOW = 1000;

/** Milliseconds that a client is told to wait at most, however little is released. */
const LONGEST = 60_000;

/** How fast bytes have been given back of late, and so how long it takes until some more have been. */
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
