import { RuntimeGone } from "../runtime/supervisor/runtime-process.ts";
import type { SupervisedRuntime } from "../runtime/supervisor/supervised-runtime.ts";
import { DirectCalls } from "../scheduler/direct-calls.ts";
import { asEngineError } from "./dictionary-executor.ts";
import type { ServingOptions } from "./serving-options.ts";

/** Calls of one dictionary's runtime that are not batched, under the lease that its batches have. */
export class RuntimeCalls {
  readonly #runtime: SupervisedRuntime;
  readonly #calls: DirectCalls;
  /** Those under way. */
  readonly #open = new Set<Promise<unknown>>();

  constructor(dictionary: string, runtime: SupervisedRuntime, options: ServingOptions) {
    const { lease, clock, observer, load, maxWait } = options;
    this.#runtime = runtime;
    this.#calls = new DirectCalls({
      lease,
      cores: load.threads,
      clock,
      maxWait,
      onShed: (reason) => observer.shed({ dictionary, reason }),
      ready: () => runtime.ready(),
    });
  }

  /**
   * Sent again once when the process ended under it: whatever ended it may have been another request, or someone from
   * outside.
   * @throws EngineError
   */
  make<T>(call: (runtime: SupervisedRuntime) => Promise<T>): Promise<T> {
    const answer = this.#underLease(call);
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

  async #underLease<T>(call: (runtime: SupervisedRuntime) => Promise<T>): Promise<T> {
    const run = (): Promise<T> => this.#calls.run(async () => call(this.#runtime));
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
