import type { Clock } from "../core/clock.ts";
import { EngineError } from "../core/errors.ts";
import type { ShedReason } from "../core/telemetry.ts";
import type { CoreLease, CoreClient } from "./core-lease.ts";

export interface UnbatchedCallsOptions {
  readonly lease: CoreLease;
  /** Cores per call. */
  readonly cores: number;
  readonly clock: Clock;
  /** Predicted wait in milliseconds above which a call is refused. */
  readonly maxWaitMs: number;
  readonly onShed: (reason: ShedReason) => void;
  /** As in {@link Executor.ready}: no cores are held during a restart or hang. */
  readonly ready: () => Promise<void> | null;
}

/** Weight of the newest call in the mean time of a call. */
const LEARNING_RATE = 0.2;

/**
 * Calls of one dictionary outside batches: one after another, each under the lease, in turns with the batches of all
 * dictionaries. Admission uses the predicted wait, as for batches.
 */
export class UnbatchedCalls {
  readonly #options: UnbatchedCallsOptions;
  readonly #holder: CoreClient;
  /** Calls waiting or running. */
  #open = 0;
  /** Recent milliseconds per call. */
  #each = 0;

  constructor(options: UnbatchedCallsOptions) {
    this.#options = options;
    const backlog = { running: () => Math.min(this.#open, 1) * this.#each, total: () => this.#open * this.#each };
    this.#holder = options.lease.join(backlog, options.cores);
  }

  /**
   * @param expected milliseconds of the call
   * @throws EngineError PURSUIT_QUEUE_FULL; or the call's error
   */
  async run<T>(call: () => Promise<T>, expected = 0): Promise<T> {
    const { maxWaitMs, onShed, ready } = this.#options;
    const wait = this.#open === 0 ? 0 : this.#holder.delay(this.#open * this.#each);
    if (wait > maxWaitMs) {
      onShed("queue_full");
      const message = `${this.#open} calls wait, about ${Math.ceil(wait)} ms of work, and the limit is ${maxWaitMs} ms.`;
      throw new EngineError("PURSUIT_QUEUE_FULL", message, { retryAfter: (wait - maxWaitMs) / 1000 });
    }
    this.#open++;
    try {
      return await this.#holder.holdWhenReady(ready, () => this.#timed(call), expected);
    } finally {
      this.#open--;
    }
  }

  async #timed<T>(call: () => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    const started = clock.now();
    try {
      return await call();
    } finally {
      const taken = clock.now() - started;
      this.#each = this.#each === 0 ? taken : this.#each + LEARNING_RATE * (taken - this.#each);
    }
  }

  /** Takes no further turns. */
  leave(): void {
    this.#holder.leave();
  }
}
