import { once } from "node:events";
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { threadsThatFit } from "../../core/process-limits.ts";
import type { RowJob } from "./row-job.ts";
import { RowLoop, type RowLoopOptions } from "./row-loop.ts";
import { OrthogonalLoop } from "./orthogonal-loop.ts";

/** Lanes per thread (row-loop.ts). */
export const LANES = 2;

/** Fewest rows for which waking the helpers pays. */
const WORTH_HELP = 3;

/** Threads that work on one arena's rows: the caller's, and helpers that sleep between jobs. */
export class LoopThreads {
  readonly #own: JobLoop;
  readonly #control: Control;
  readonly #helpers: readonly Worker[];
  readonly #exits: readonly Promise<unknown>[];

  private constructor(own: JobLoop, control: Control, helpers: readonly Worker[]) {
    this.#own = own;
    this.#control = control;
    this.#helpers = helpers;
    this.#exits = helpers.map((helper) => once(helper, "exit"));
  }

  /**
   * Starts the helpers and waits until they run. If the system refuses some, the others do their work.
   * @param threads total; the arena needs lanes for all of them
   */
  static async start(options: Omit<JobLoopOptions, "lane">, threads: number): Promise<LoopThreads> {
    const control = createControl();
    // Helpers run built code, wherever this file runs from.
    const entry =
      threads > 1 ? createRequire(import.meta.url).resolve("#dist/engine/runtime/kernel/loop-worker.js") : "";
    const wanted = threads - 1;
    const starting = Array.from({ length: threadsThatFit(wanted) }, async (_, i) => {
      const helper = new Worker(entry, {
        workerData: { options: { ...options, lane: LANES * (i + 1) }, control },
      });
      await once(helper, "online");
      return helper;
    });
    const started = await Promise.allSettled(starting);
    const helpers = started.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    if (helpers.length < wanted) {
      const refused = started.find((one) => one.status === "rejected");
      const why = refused === undefined ? "the address space is limited (ulimit -v)" : String(refused.reason);
      console.error(`${helpers.length} of ${wanted} helping threads could be started: ${why}.`);
    }
    return new LoopThreads(new JobLoop({ ...options, lane: 0 }), control, helpers);
  }

  /**
   * Works on a job's rows until each has ended or needs fresh correlations. Blocks.
   * @param gram whether the Gram matrix is complete
   * @param place writes the rows' correlations into their slots, in order, and reports how many are ready; helpers
   *   start meanwhile
   * @throws Error when a helper failed, or when `place` threw, after all threads have finished the job
   */
  run(job: RowJob, gram: boolean, place: (ready: (count: number) => void) => void): void {
    const control = this.#control;
    Atomics.store(control, CONTROL.nextRow, 0);
    Atomics.store(control, CONTROL.ready, 0);
    Atomics.store(control, CONTROL.faults, 0);
    // Without the matrix each row makes one step only: not worth waking a thread.
    const helpers = gram && job.count >= WORTH_HELP ? this.#helpers : [];
    if (helpers.length > 0) {
      Atomics.store(control, CONTROL.busy, helpers.length);
      for (const helper of helpers) helper.postMessage(job);
      Atomics.add(control, CONTROL.turn, 1);
      Atomics.notify(control, CONTROL.turn);
    }
    try {
      place((count) => publishRows(control, count));
    } finally {
      // Even after an error, no thread may still work on this job when the next one starts.
      publishRows(control, job.count);
      try {
        this.#own.run(job, gram, () => takeRow(control, job.count));
      } finally {
        for (let busy; (busy = Atomics.load(control, CONTROL.busy)) > 0;) Atomics.wait(control, CONTROL.busy, busy);
      }
    }
    if (Atomics.load(control, CONTROL.faults) > 0) throw new Error("a thread of the pursuit kernel failed");
  }

  /** Ends the helpers. */
  async close(): Promise<void> {
    Atomics.store(this.#control, CONTROL.closing, 1);
    Atomics.add(this.#control, CONTROL.turn, 1);
    Atomics.notify(this.#control, CONTROL.turn);
    await Promise.all(this.#exits);
  }
}

/** Shared Int32 control block of the worker threads. */
export const CONTROL = { turn: 0, nextRow: 1, ready: 2, busy: 3, faults: 4, closing: 5 } as const;

export type Control = Int32Array;

const createControl = (): Control => new Int32Array(new SharedArrayBuffer(4 * Object.keys(CONTROL).length));

/** Makes rows [0, count) available. */
function publishRows(control: Control, count: number): void {
  Atomics.store(control, CONTROL.ready, count);
  Atomics.notify(control, CONTROL.ready);
}

/** Takes the next free row of a job, −1 if none is left. Waits until the row is available. */
export function takeRow(control: Control, count: number): number {
  const row = Atomics.add(control, CONTROL.nextRow, 1);
  if (row >= count) return -1;
  for (let ready; (ready = Atomics.load(control, CONTROL.ready)) <= row;) Atomics.wait(control, CONTROL.ready, ready);
  return row;
}

/** What one thread needs for jobs of every kind; can be sent to a worker. */
export type JobLoopOptions = Omit<RowLoopOptions, "settings">;

/** Runs jobs in one thread. Makes the loop for a pursuit's settings when the first job asks for it. */
export class JobLoop {
  readonly #options: JobLoopOptions;
  readonly #loops = new Map<string, Pick<RowLoop, "run">>();

  constructor(options: JobLoopOptions) {
    this.#options = options;
  }

  /** As {@link RowLoop.run}. */
  run(job: RowJob, gram: boolean, next: () => number): void {
    this.#loopOf(job).run(job, gram, next);
  }

  #loopOf({ pursuit }: RowJob): Pick<RowLoop, "run"> {
    const { kind, score } = pursuit;
    const key = kind === "orthogonal" ? `${kind} ${score}` : `${kind} ${score} ${pursuit.reselect}`;
    let loop = this.#loops.get(key);
    if (loop === undefined) {
      const { module, arena, lane } = this.#options;
      loop =
        kind === "orthogonal"
          ? new OrthogonalLoop({ module, arena, lane, score })
          : new RowLoop({ ...this.#options, settings: pursuit });
      this.#loops.set(key, loop);
    }
    return loop;
  }
}
