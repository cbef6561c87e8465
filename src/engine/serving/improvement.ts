import { Fault } from "../core/errors.ts";
import type { Improved } from "../runtime/protocol/messages.ts";
import { RuntimeGone } from "../runtime/supervisor/runtime-process.ts";
import type { SupervisedRuntime } from "../runtime/supervisor/supervised-runtime.ts";
import type { Background } from "../scheduler/core-lease.ts";

export interface ImprovementOptions {
  readonly runtime: Pick<SupervisedRuntime, "ready" | "improve">;
  readonly background: Background;
  /** Milliseconds that a piece may take: a request that comes meanwhile waits behind it. */
  readonly watchdog: number;
  readonly onImproved: (improved: Improved) => void;
  /** It ended before its time, and serves as it is. */
  readonly onFailed: (error: unknown) => void;
}

/**
 * Makes a loaded dictionary faster, for example by its Gram matrix: piece by piece, in turns with the batches of all
 * dictionaries, from the start of its runtime process to the last piece.
 */
export class Improvement {
  readonly #options: ImprovementOptions;
  #running = false;
  #stopped = false;

  constructor(options: ImprovementOptions) {
    this.#options = options;
  }

  /** After each start of the runtime's process; while one run is under way it goes on with the new process. */
  begin(): void {
    if (this.#running || this.#stopped) return;
    this.#running = true;
    this.#run().catch((error: unknown) => {
      this.#running = false;
      // Its end is told of elsewhere, and there is another beginning after it.
      if (!(error instanceof RuntimeGone || error instanceof Fault)) this.#options.onFailed(error);
    });
  }

  /** No further piece. */
  stop(): void {
    this.#stopped = true;
    this.#running = false;
  }

  async #run(): Promise<void> {
    const { runtime, background, watchdog, onImproved } = this.#options;
    const ready = (): Promise<void> | null => runtime.ready();
    while (this.#running) {
      // It may be stopped while it waits for its turn.
      const improved = await background.turn(ready, async (expected) =>
        this.#stopped ? null : runtime.improve({ expected, limit: watchdog }),
      );
      if (improved === null || this.#stopped) return;
      this.#running = improved.more;
      onImproved(improved);
    }
  }
}
