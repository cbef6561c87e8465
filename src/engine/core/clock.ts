/** Time as the engine sees it. Injected, so that tests can move it by hand. */
export interface Clock {
  /** Monotonic milliseconds. */
  now(): number;
  /** Calls back once after at least `milliseconds`. @returns cancels the call */
  after(milliseconds: number, callback: () => void): () => void;
}

/** The machine's monotonic clock at 0 of this thread's `performance.now()`, in milliseconds. */
const ORIGIN = findOrigin();

/** Reads the two clocks several times and takes the quickest reading: the thread may be held up between the two. */
function findOrigin(): number {
  let least = Infinity;
  let origin = 0;
  for (let i = 0; i < 5; i++) {
    const before = performance.now();
    const machine = Number(process.hrtime.bigint()) / 1e6;
    const taken = performance.now() - before;
    if (taken >= least) continue;
    least = taken;
    origin = machine - before - taken / 2;
  }
  return origin;
}

/** Milliseconds of the machine's monotonic clock, shared by all processes and threads. */
export const machineNow = (): number => ORIGIN + performance.now();

/** Converts a time of {@link machineNow}, from any process, to this thread's `performance.now()`. */
export const fromMachine = (time: number): number => time - ORIGIN;

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

/** Resolves after that time, or at once when `signal` is aborted. */
export function pause(clock: Clock, milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.after(signal.aborted ? 0 : milliseconds, end);
    signal.addEventListener("abort", end);
  });
}

/** Factor over the predicted time, and floor in milliseconds, after which others stop waiting for work. */
const OVERDUE_FACTOR = 4;
const OVERDUE_FLOOR = 400;

/** Milliseconds after which work is overdue: it has probably hung, though the watchdog still gives it time. */
export const overdueAfter = (predicted: number): number => Math.max(OVERDUE_FLOOR, OVERDUE_FACTOR * predicted);
