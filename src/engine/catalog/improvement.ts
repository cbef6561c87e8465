import type { Clock } from "../clock.ts";
import type { Improved } from "../runtime/protocol/messages.ts";
import { LoadFailed, RuntimeGone } from "../runtime/runtime-process.ts";
import type { SupervisedRuntime } from "../runtime/supervised-runtime.ts";
import type { CoreLease, LeaseHolder } from "../scheduler/core-lease.ts";

/** Of the cores' time where requests want all of it: nobody waits for it, but it should not take for ever either. */
const SHARE = 1 / 4;

export interface ImprovementOptions {
  readonly runtime: Pick<SupervisedRuntime, "ready" | "improve">;
  readonly lease: CoreLease;
  /** Cores that a piece occupies. */
  readonly cores: number;
  readonly clock: Clock;
  /** Milliseconds that one piece may take: a disk may be slow. */
  readonly watchdog: number;
  readonly onImproved: (improved: Improved) => void;
  /** It ended before its time, and serves as it is. */
  readonly onFailed: (error: unknown) => void;
}

/**
 * What makes a loaded dictionary faster, such as the making of its Gram matrix: piece by piece in turns with the batches
 * of all dictionaries, from the start of its runtime process to the last piece. Pieces that wait for a disk hold no cores.
 */
export class Improvement {
  readonly #options: ImprovementOptions;
  readonly #holder: LeaseHolder;
  /** What the next piece of the run under way is; null where none is under way. */
  #next: Improved["next"] = null;
  /** When the piece that holds cores began, and milliseconds that the last one took. */
  #began: number | null = null;
  #each = 0;
  #stopped = false;

  constructor(options: ImprovementOptions) {
    const { lease, cores } = options;
    this.#options = options;
    const running = (): number => (this.#began === null ? 0 : Math.max(0, this.#began + this.#each - this.#now()));
    // How many pieces are to come is known to the runtime only: as many as its share allows.
    const total = (): number => (this.#next === "threads" ? Infinity : running());
    this.#holder = lease.join({ running, total }, cores, SHARE);
  }

  /** After each start of the runtime's process; while one run is under way it goes on with the new process. */
  begin(): void {
    if (this.#next !== null || this.#stopped) return;
    this.#next = "disk";
    this.#run().catch((error: unknown) => {
      this.#next = null;
      // Its end is told of elsewhere, and there is another beginning after it.
      if (!(error instanceof RuntimeGone || error instanceof LoadFailed)) this.#options.onFailed(error);
    });
  }

  /** No further piece. */
  stop(): void {
    this.#stopped = true;
    this.#next = null;
    this.#holder.leave();
  }

  async #run(): Promise<void> {
    const { runtime, onImproved } = this.#options;
    while (this.#next !== null) {
      for (let restarted = runtime.ready(); restarted !== null; restarted = runtime.ready()) await restarted;
      const improved = this.#next === "threads" ? await this.#held() : await this.#piece();
      if (improved === null || this.#stopped) continue;
      this.#next = improved.next;
      onImproved(improved);
    }
  }

  #held(): Promise<Improved | null> {
    return this.#holder.hold(async () => {
      this.#began = this.#now();
      try {
        return await this.#piece();
      } finally {
        this.#each = this.#now() - this.#began;
        this.#began = null;
      }
    });
  }

  /** null where it must be waited for again: between the wish for cores and the grant it may have ended. */
  async #piece(): Promise<Improved | null> {
    const { runtime, watchdog } = this.#options;
    return this.#stopped || runtime.ready() !== null ? null : runtime.improve(watchdog);
  }

  #now(): number {
    return this.#options.clock.now();
  }
}
