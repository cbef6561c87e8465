import { once } from "node:events";
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import type { Atoms } from "../../core/dictionary-weights.ts";
import { threadsThatFit } from "../../core/process-limits.ts";
import { plainResidual, type SharedAtoms, sharedResidual } from "./atom-residual.ts";
import { type OnePassJob, OnePassLoop } from "./one-pass-loop.ts";
import type { RowJob } from "./row-job.ts";
import { RowLoop, type RowLoopOptions } from "./row-loop.ts";
import { OrthogonalLoop } from "./orthogonal-loop.ts";

/** Lanes per thread (row-loop.ts). */
export const LANES = 2;

/** Fewest rows for which waking the helpers pays. */
const WORTH_HELP = 3;

/** Makes the rows of jobs in one thread. */
interface Loop<Job> {
  /** Works on a job's rows. @param next takes the next free row; −1 if none is left */
  run(job: Job, next: () => number): void;
}

/** What one thread needs to make its loop; can be sent to a worker. */
export type LoopTask =
  | { readonly kind: "pursuit"; readonly options: JobLoopOptions }
  | { readonly kind: "one_pass"; readonly atoms: SharedAtoms; readonly norms: Float64Array; readonly thread: number };

/** Loop of a helper: jobs arrive as messages. */
export function createLoop(task: LoopTask): Loop<unknown> {
  if (task.kind === "pursuit") return new JobLoop(task.options);
  return new OnePassLoop(sharedResidual(task.atoms, task.thread), task.norms);
}

/** Threads that pursue the rows of one arena; it needs lanes for all of them. */
export const startPursuitThreads = (
  options: Omit<JobLoopOptions, "lane">,
  threads: number,
): Promise<LoopThreads<RowJob>> =>
  LoopThreads.start(
    new JobLoop({ ...options, lane: 0 }),
    (thread) => ({ kind: "pursuit", options: { ...options, lane: LANES * thread } }),
    threads,
  );

/**
 * Threads that make codes of one-pass encoders.
 * @param shared null: the caller's thread alone works, by plain loops
 * @param norms [m] ||D_j||
 */
export function startOnePassThreads(
  weights: Pick<Atoms, "atoms" | "d">,
  shared: SharedAtoms | null,
  norms: Float64Array,
  threads: number,
): Promise<LoopThreads<OnePassJob>> {
  const own = new OnePassLoop(shared === null ? plainResidual(weights) : sharedResidual(shared, 0), norms);
  const task = (thread: number): LoopTask => ({ kind: "one_pass", atoms: shared!, norms, thread });
  return LoopThreads.start(own, task, shared === null ? 1 : threads);
}

/** Threads that work on the rows of the same jobs: the caller's, and helpers that sleep between jobs. */
export class LoopThreads<Job extends { readonly count: number }> {
  readonly #own: Loop<Job>;
  readonly #control: Control;
  readonly #helpers: readonly Worker[];
  readonly #exits: readonly Promise<unknown>[];

  private constructor(own: Loop<Job>, control: Control, helpers: readonly Worker[]) {
    this.#own = own;
    this.#control = control;
    this.#helpers = helpers;
    this.#exits = helpers.map((helper) => once(helper, "exit"));
  }

  /**
   * Starts the helpers and waits until they run. If the system refuses some, the others do their work.
   * @param taskOf task of helper 1, 2, …
   * @param threads total
   */
  static async start<Job extends { readonly count: number }>(
    own: Loop<Job>,
    taskOf: (thread: number) => LoopTask,
    threads: number,
  ): Promise<LoopThreads<Job>> {
    const control = createControl();
    // Helpers run built code, wherever this file runs from.
    const entry =
      threads > 1 ? createRequire(import.meta.url).resolve("#dist/engine/runtime/kernel/loop-worker.js") : "";
    const wanted = threads - 1;
    const starting = Array.from({ length: threadsThatFit(wanted) }, async (_, i) => {
      const helper = new Worker(entry, { workerData: { task: taskOf(i + 1), control } });
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
    return new LoopThreads(own, control, helpers);
  }

  /** The caller's and its helpers. */
  get count(): number {
    return 1 + this.#helpers.length;
  }

  /**
   * Works on a job until every row is done or needs the caller again. Blocks.
   * @param help whether waking the helpers pays, if there are rows for them
   * @param place makes the rows ready, in order, and reports how many are; helpers start meanwhile. Unless given, all are
   * @throws Error when a helper failed, or when `place` threw, after all threads have finished the job
   */
  run(job: Job, help: boolean, place?: (ready: (count: number) => void) => void): void {
    const control = this.#control;
    Atomics.store(control, CONTROL.nextRow, 0);
    Atomics.store(control, CONTROL.ready, 0);
    Atomics.store(control, CONTROL.faults, 0);
    const helpers = help && job.count >= WORTH_HELP ? this.#helpers : [];
    if (helpers.length > 0) {
      Atomics.store(control, CONTROL.busy, helpers.length);
      for (const helper of helpers) helper.postMessage(job);
      Atomics.add(control, CONTROL.turn, 1);
      Atomics.notify(control, CONTROL.turn);
    }
    try {
      place?.((count) => publishRows(control, count));
    } finally {
      // Even after an error, no thread may still work on this job when the next one starts.
      publishRows(control, job.count);
      try {
        this.#own.run(job, () => takeRow(control, job.count));
      } finally {
        for (let busy; (busy = Atomics.load(control, CONTROL.busy)) > 0;) Atomics.wait(control, CONTROL.busy, busy);
      }
    }
    if (Atomics.load(control, CONTROL.faults) > 0) throw new Error("a thread of the kernel failed");
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
type JobLoopOptions = Omit<RowLoopOptions, "settings">;

/** Runs jobs in one thread. Makes the loop for a pursuit's settings when the first job asks for it. */
class JobLoop {
  readonly #options: JobLoopOptions;
  readonly #loops = new Map<string, Pick<RowLoop, "run">>();

  constructor(options: JobLoopOptions) {
    this.#options = options;
  }

  /** As {@link RowLoop.run}. */
  run(job: RowJob, next: () => number): void {
    this.#loopOf(job).run(job, job.gram, next);
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
