import type { Improved } from "../runtime/protocol/messages.ts";
import { LoadFailed, RuntimeGone } from "../runtime/supervisor/runtime-process.ts";
import type { SupervisedRuntime } from "../runtime/supervisor/supervised-runtime.ts";
import type { Background } from "../scheduler/background.ts";

/** How much longer than one that computes a piece may take that waits for a disk. */
const DISK_PATIENCE = 4;

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
 * What makes a loaded dictionary faster, such as the making of its Gram matrix: piece by piece in turns with the batches
 * of all dictionaries, from the start of its runtime process to the last piece. Pieces that wait for a disk hold no cores.
 */
export class Improvement {
  readonly #options: ImprovementOptions;
  /** What the next piece of the run under way is; null where none is under way. */
  #next: Improved["next"] = null;
  #stopped = false;

  constructor(options: ImprovementOptions) {
    this.#options = options;
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
  }

  async #run(): Promise<void> {
    const { runtime, background, watchdog, onImproved } = this.#options;
    const ready = (): Promise<void> | null => runtime.ready();
    while (this.#next !== null) {
      // It may be stopped while it waits for its turn.
      const improved =
        this.#next === "threads"
          ? await background.turn(ready, async () => (this.#stopped ? null : runtime.improve(watchdog)))
          : await runtime.improve(DISK_PATIENCE * watchdog);
      if (improved === null || this.#stopped) return;
      this.#next = improved.next;
      onImproved(improved);
    }
  }
}
