import type { Clock } from "../core/clock.ts";
import { EngineError } from "../core/errors.ts";
import type { ShedReason } from "../core/telemetry.ts";
import type { CoreLease, LeaseHolder } from "./core-lease.ts";

export interface DirectCallsOptions {
  readonly lease: CoreLease;
  /** Cores that a call occupies. */
  readonly cores: number;
  readonly clock: Clock;
  /** Milliseconds of predicted waiting over which a call is refused. */
  readonly maxWait: number;
  readonly onShed: (reason: ShedReason) => void;
  /** As of {@link Executor.ready}: no cores are held while what is called restarts or hangs. */
  readonly ready: () => Promise<void> | null;
}

/** Weight of the newest call in what one is thought to take. */
const LEARNING_RATE = 0.2;

/**
 * Calls of one dictionary that are not made in batches: one after another, each under the lease, in turns with the
 * batches of all dictionaries. Admission is by predicted wait, as for batches: this queue has an end too.
 */
export class DirectCalls {
  readonly #options: DirectCallsOptions;
  readonly #holder: LeaseHolder;
  /** Calls waiting or running. */
  #open = 0;
  /** Milliseconds that a call takes of late. */
  #each = 0;

  constructor(options: DirectCallsOptions) {
    this.#options = options;
    const backlog = { running: () => Math.min(this.#open, 1) * this.#each, total: () => this.#open * this.#each };
    this.#holder = options.lease.join(backlog, options.cores);
  }

  /**
   * @param expected milliseconds that the call should take
   * @throws EngineError PURSUIT_QUEUE_FULL; or what the call threw.
   */
  async run<T>(call: () => Promise<T>, expected = 0): Promise<T> {
    const { maxWait, onShed, ready } = this.#options;
    const wait = this.#open === 0 ? 0 : this.#holder.delay(this.#open * this.#each);
    if (wait > maxWait) {
      onShed("queue_full");
      const message = `${this.#open} calls wait, about ${Math.ceil(wait)} ms of work, and the limit is ${maxWait} ms.`;
      throw new EngineError("PURSUIT_QUEUE_FULL", message, { retryAfter: (wait - maxWait) / 1000 });
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

  /** Takes no turns any more. */
  leave(): void {
    this.#holder.leave();
  }
}
