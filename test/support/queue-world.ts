import { Cancellation } from "../../src/engine/core/cancellation.ts";
import { BatchQueue, type BatchQueueOptions } from "../../src/engine/scheduler/batch-queue.ts";
import type { CoreLease } from "../../src/engine/scheduler/core-lease.ts";
import { type Executor, ExecutorCrash, type Piece, type Served, type Work } from "../../src/engine/scheduler/work.ts";
import type { FakeClock } from "./fake-clock.ts";
import { Restarts } from "./restarts.ts";

/** Lets every runnable promise run. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A request of a simulated world. */
export interface WorldWork extends Work {
  readonly name: string;
  /** Milliseconds of one row that is not shortened; a fifth of it is the least. */
  readonly price: number;
  /** Crashes the executor whenever it runs. */
  readonly poisoned: boolean;
}

export interface Run {
  readonly pieces: readonly Piece<WorldWork>[];
  readonly started: number;
  readonly ended: number;
  readonly crashed: boolean;
}

export interface WorldOptions extends Partial<
  Omit<BatchQueueOptions<WorldWork, Names>, "executor" | "lease" | "clock">
> {
  readonly capacity?: number;
  /** Milliseconds of a run beyond its rows. */
  readonly overhead?: number;
  /** Predicted milliseconds for each real one. */
  readonly prediction?: number;
  /** Whether the executor accepts the next run during one. A crash ends both. */
  readonly takesAhead?: boolean;
}

/** Results of rows: their names "a0", "a1", … */
export type Names = readonly string[];

/** Milliseconds of a restart after a crash. */
const RESTART = 7;

/** A queue over an executor that runs by the clock: one row costs what its work says. */
export function queueWorld(clock: FakeClock, lease: CoreLease, options: WorldOptions = {}) {
  const { capacity = 10, overhead = 0.5, prediction = 1, takesAhead = false, ...rest } = options;
  const runs: Run[] = [];
  const shed: string[] = [];
  let queued = 0;
  const sent: { readonly begin: () => void; readonly crash: () => void }[] = [];
  const cost = ({ price }: WorldWork, keep: number): number => price * (0.2 + 0.8 * keep);
  const restarts = new Restarts();
  const executor: Executor<WorldWork, Names> = {
    cores: lease.total,
    capacity,
    overhead: overhead * prediction,
    rowCost: (work, _row, keep) => cost(work, keep) * prediction,
    takesAhead,
    ready: restarts.ready,
    run(pieces) {
      if (restarts.ready() !== null) throw new Error("a run while it restarts: cores are held for nothing");
      if (sent.length > (takesAhead ? 1 : 0)) throw new Error("more runs at a time than it takes");
      const crashed = pieces.some(({ work }) => work.poisoned);
      const time = pieces.reduce((sum, { work, from, to, keep }) => sum + (to - from) * cost(work, keep), overhead);
      return new Promise((resolve, reject) => {
        const crash = (): void => reject(new ExecutorCrash("poisoned"));
        const begin = (): void => {
          const started = clock.now();
          clock.after(time, () => {
            runs.push({ pieces, started, ended: clock.now(), crashed });
            if (crashed) {
              clock.after(RESTART, restarts.begin());
              return sent.splice(0).forEach((one) => one.crash());
            }
            sent.shift();
            sent[0]?.begin();
            resolve(
              pieces.map(({ work, from, to }) =>
                Array.from({ length: to - from }, (_, i) => `${work.name}${from + i}`),
              ),
            );
          });
        };
        sent.push({ begin, crash });
        if (sent.length === 1) begin();
      });
    },
  };
  const queue = new BatchQueue<WorldWork, Names>({
    maxWaitMs: 1000,
    maxRows: Infinity,
    degradeMs: 100,
    ...rest,
    executor,
    lease,
    clock,
    onShed: (reason) => shed.push(reason),
    onQueued: (change) => (queued += change),
  });
  return { queue, runs, shed, queued: () => queued };
}

export const workOf = (name: string, count: number, price: number, more: Partial<WorldWork> = {}): WorldWork => ({
  name,
  count,
  price,
  uniform: true,
  poisoned: false,
  cancellation: new Cancellation(),
  ...more,
});

/** Moves the clock on, event by event, and lets everything that follows from each happen. */
export async function pass(clock: FakeClock, milliseconds: number): Promise<void> {
  await passTo(clock, clock.now() + milliseconds);
}

/** Moves the clock to a time; Infinity: until nothing is awaited any more. */
export async function passTo(clock: FakeClock, until: number): Promise<void> {
  await settle();
  for (let next = Math.min(until, clock.next); next < Infinity; next = Math.min(until, clock.next)) {
    clock.advanceTo(Math.max(clock.now(), next));
    await settle();
    if (clock.now() >= until) return;
  }
}

/** Collects the milliseconds from now to each answer; counts refusals. */
export function latencies(clock: FakeClock) {
  const served: number[] = [];
  let refused = 0;
  const watch = (answer: Promise<Served<Names>>): void => {
    const started = clock.now();
    answer.then(
      () => served.push(clock.now() - started),
      () => refused++,
    );
  };
  return { served, watch, refused: () => refused };
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}
