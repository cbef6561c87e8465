/** Time as the engine sees it. Handed in, so that tests can move it by hand. */
export interface Clock {
  /** Monotonic milliseconds. */
  now(): number;
  /** Calls back once after at least `milliseconds`; the returned function takes the call back. */
  after(milliseconds: number, callback: () => void): () => void;
}

/** Node's largest timer delay; a longer one would fire at once. */
const MAX_DELAY = 2 ** 31 - 1;

/** The machine's monotonic clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, Math.min(milliseconds, MAX_DELAY)).unref();
    return () => clearTimeout(timer);
  },
};
