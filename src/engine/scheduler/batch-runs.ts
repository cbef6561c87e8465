import type { Clock } from "../core/clock.ts";
import { EngineError } from "../core/errors.ts";
import type { Batch, BatchPart } from "./batch-former.ts";
import type { LeaseHolder, Turn } from "./core-lease.ts";
import { type Executor, ExecutorCrash, type Work } from "./executor.ts";
import type { Pace } from "./pace.ts";

export interface BatchRunsOptions<W extends Work, R> {
  readonly executor: Executor<W, R>;
  readonly holder: LeaseHolder;
  readonly clock: Clock;
  readonly pace: Pace;
  /** Rows that wait. */
  readonly waiting: () => number;
  /** Whether they are worth a run of their own, however soon the present one ends. */
  readonly worthARun: () => boolean;
  /** The next batch; null where all have gone. */
  readonly form: () => Batch<W, R> | null;
  /** A batch has run as it should. */
  readonly onRun: () => void;
}

interface Run {
  /** Cost of the whole run. */
  readonly predicted: number;
  /** Resolves when its rows are answered, whatever came of them. */
  readonly done: Promise<void>;
}

/**
 * Runs one dictionary's batches, one after another, under a lease of the cores. The next one is sent ahead while one runs
 * where the executor takes it, nobody else waits for the cores and it is worth a run: a busy event loop notices only
 * after milliseconds that a run has ended, and the cores would stand idle for so long.
 *
 *     lease   ├──────── turn ────────┤ somebody else's ├── turn ─ …
 *     runs    ├── a ──┤── b ──┤── c ─┤                 ├── d ─ …
 *     sent    a  b      c      (others wait: nothing)   d
 *
 * No cores are held while the executor restarts or hangs. What it ended under is tried again, one piece a turn: one of them may
 * have ended it, and is then told from the others, whose answers do not change.
 */
export class BatchRuns<W extends Work, R> {
  readonly #options: BatchRunsOptions<W, R>;
  /** The wish for cores, and then the turn. */
  #turn: Promise<void> | null = null;
  /** The executor's restart. */
  #restart: Promise<void> | null = null;
  #current: Run | null = null;
  #ahead: Run | null = null;
  /** When all that was sent is predicted to be done. */
  #until = 0;
  /** When the last run ended. */
  #ended = -Infinity;
  /** Pieces of batches that the executor ended under, each to be run alone. */
  readonly #suspects: BatchPart<W, R>[] = [];

  constructor(options: BatchRunsOptions<W, R>) {
    this.#options = options;
  }

  /** Predicted milliseconds until all that was sent in batches is done. */
  get remaining(): number {
    return this.#current === null ? 0 : Math.max(0, this.#until - this.#options.clock.now());
  }

  /** Whether there is anything to run. */
  get pending(): boolean {
    return this.#suspects.length > 0 || this.#options.waiting() > 0;
  }

  /** Sees to it that what waits will run. */
  pump(): void {
    const { holder, executor } = this.#options;
    if (this.#turn !== null) return this.#sendAhead();
    if (!this.pending) return holder.pass();
    const restarted = executor.ready();
    if (restarted !== null) return this.#pumpAfter(restarted);
    // The batch is formed only when the cores are ours: whoever comes or leaves until then is counted.
    this.#turn = holder
      .hold((turn) => this.#takeTurn(turn))
      .finally(() => {
        this.#turn = null;
        this.pump();
      });
  }

  #pumpAfter(restarted: Promise<void>): void {
    this.#options.holder.pass();
    this.#restart ??= restarted.finally(() => {
      this.#restart = null;
      this.pump();
    });
  }

  /** Resolves when nothing waits or runs any more. */
  async idle(): Promise<void> {
    while (this.#turn !== null || (this.#restart !== null && this.pending)) await (this.#turn ?? this.#restart);
  }

  async #takeTurn(turn: Turn): Promise<void> {
    const { clock, pace, executor } = this.#options;
    // It may have ended while the cores were waited for.
    if (executor.ready() !== null) return;
    const suspect = this.#suspects.shift();
    if (suspect !== undefined) return this.#runAlone(suspect);
    for (let run = this.#send(); run !== null; run = this.#ahead) {
      this.#current = run;
      this.#ahead = null;
      const expected = pace.of(run.predicted);
      turn.expect(expected);
      this.#until = clock.now() + expected;
      this.#sendAhead();
      await run.done;
    }
    this.#current = null;
  }

  #sendAhead(): void {
    const { executor, holder, worthARun } = this.#options;
    if (!executor.takesAhead || this.#current === null || this.#ahead !== null) return;
    // Until a crash has been looked into nothing else may end the executor.
    if (this.#suspects.length > 0 || executor.ready() !== null || holder.contended || !worthARun()) return;
    this.#ahead = this.#send();
  }

  #send(): Run | null {
    const { clock, pace, executor, form } = this.#options;
    // Between the wish for cores and the grant everybody may have gone.
    const batch = form();
    if (batch === null) return null;
    const predicted = batch.cost + executor.overhead;
    this.#until = Math.max(clock.now(), this.#until) + pace.of(predicted);
    return { predicted, done: this.#run(batch, predicted, this.#current?.done) };
  }

  /** @param before resolves when the run before it is done */
  async #run({ parts }: Batch<W, R>, predicted: number, before: Promise<void> | undefined): Promise<void> {
    const { executor, clock, pace, onRun } = this.#options;
    const sent = clock.now();
    try {
      const results = await executor.run(parts.map(({ piece }) => piece));
      await before;
      const now = clock.now();
      pace.learn(predicted, now - Math.max(sent, this.#ended));
      this.#ended = now;
      onRun();
      deliver(parts, results);
    } catch (error) {
      if (!(error instanceof ExecutorCrash)) return refuse(parts, error);
      await before;
      this.#suspects.push(...parts);
    }
  }

  async #runAlone(part: BatchPart<W, R>): Promise<void> {
    if (part.entry.settled) return;
    try {
      deliver([part], await this.#options.executor.run([part.piece]));
    } catch (error) {
      const crashed = new EngineError("PURSUIT_RUNTIME_CRASHED", "These rows ended the runtime process twice.", {
        cause: error,
      });
      part.entry.fail(error instanceof ExecutorCrash ? crashed : error);
    }
  }
}

function deliver<W extends Work, R>(parts: readonly BatchPart<W, R>[], results: readonly R[]): void {
  if (results.length !== parts.length) {
    const message = `the executor answered ${results.length} of ${parts.length} pieces`;
    return refuse(parts, new Error(message));
  }
  for (const [i, { piece, entry }] of parts.entries()) entry.deliver(piece.from, results[i]!);
}

function refuse<W extends Work, R>(parts: readonly BatchPart<W, R>[], error: unknown): void {
  for (const { entry } of parts) entry.fail(error);
}
