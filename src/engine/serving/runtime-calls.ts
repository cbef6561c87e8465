import { overdueAfter } from "../core/clock.ts";
import { type CallTime, RuntimeGone } from "../runtime/supervisor/runtime-process.ts";
import type { SupervisedRuntime } from "../runtime/supervisor/supervised-runtime.ts";
import { UnbatchedCalls } from "../scheduler/unbatched-calls.ts";
import { asEngineError } from "./dictionary-executor.ts";
import type { ServingOptions } from "./serving-options.ts";
import { Fault } from "../core/errors.ts";
import type { GramProgress } from "../runtime/protocol/messages.ts";
import type { Background } from "../scheduler/core-lease.ts";

/** Calls of one dictionary's runtime that are not batched, under the lease that its batches have. */
export class RuntimeCalls {
  readonly #runtime: SupervisedRuntime;
  readonly #calls: UnbatchedCalls;
  /** Milliseconds after which a call is taken for hung. */
  readonly #limit: number;
  /** Those under way. */
  readonly #open = new Set<Promise<unknown>>();

  constructor(dictionary: string, runtime: SupervisedRuntime, options: ServingOptions) {
    const { lease, clock, telemetry, load, maxWaitMs, watchdogMs } = options;
    this.#runtime = runtime;
    this.#limit = watchdogMs;
    this.#calls = new UnbatchedCalls({
      lease,
      cores: load.threads,
      clock,
      maxWaitMs,
      onShed: (reason) => telemetry.emit({ type: "shed", reason, dictionary }),
      ready: () => runtime.ready(),
    });
  }

  /**
   * Sends the call, and once more when the process ended under it: another request may have ended the process.
   * @param expected milliseconds that it should take
   * @throws EngineError
   */
  make<T>(expected: number, call: (runtime: SupervisedRuntime, time: CallTime) => Promise<T>): Promise<T> {
    const answer = this.#underLease(expected, call);
    this.#open.add(answer);
    const forget = (): void => void this.#open.delete(answer);
    void answer.then(forget, forget);
    return answer;
  }

  /** Resolves when all that were made are over: there must be no more. */
  async end(): Promise<void> {
    await Promise.allSettled(this.#open);
    this.#calls.leave();
  }

  async #underLease<T>(expected: number, call: (runtime: SupervisedRuntime, time: CallTime) => Promise<T>): Promise<T> {
    const time = { expected, limit: Math.max(this.#limit, overdueAfter(expected)) };
    const run = (): Promise<T> => this.#calls.run(async () => call(this.#runtime, time), expected);
    try {
      return await run().catch((error: unknown) => {
        if (!(error instanceof RuntimeGone)) throw error;
        return run();
      });
    } catch (error) {
      throw asEngineError(error);
    }
  }
}

interface GramTaskOptions {
  readonly runtime: Pick<SupervisedRuntime, "ready" | "buildGramStep">;
  readonly background: Background;
  /** Time limit of one block in milliseconds: a request that comes meanwhile waits behind it. */
  readonly limit: number;
  readonly onStep: (progress: GramProgress) => void;
  /** Called when the build failed: the dictionary is served without its matrix. */
  readonly onFailed: (error: unknown) => void;
}

/** Builds a loaded dictionary's Gram matrix block by block, in turns with the batches of all dictionaries. */
export class GramTask {
  readonly #options: GramTaskOptions;
  #running = false;
  #stopped = false;

  constructor(options: GramTaskOptions) {
    this.#options = options;
  }

  /** Call it after each start of the runtime process. A run under way goes on with the new process. */
  begin(): void {
    if (this.#running || this.#stopped) return;
    this.#running = true;
    this.#run().catch((error: unknown) => {
      this.#running = false;
      // Reported elsewhere; the restart calls begin() again.
      if (!(error instanceof RuntimeGone || error instanceof Fault)) this.#options.onFailed(error);
    });
  }

  /** Builds no further block. */
  stop(): void {
    this.#stopped = true;
    this.#running = false;
  }

  async #run(): Promise<void> {
    const { runtime, background, limit, onStep } = this.#options;
    const ready = (): Promise<void> | null => runtime.ready();
    while (this.#running) {
      // It may be stopped while waiting for its turn.
      const progress = await background.turn(ready, async (expected) =>
        this.#stopped ? null : runtime.buildGramStep({ expected, limit }),
      );
      if (progress === null || this.#stopped) return;
      this.#running = progress.more;
      onStep(progress);
    }
  }
}
