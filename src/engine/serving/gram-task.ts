import { Fault } from "../core/errors.ts";
import type { GramProgress } from "../runtime/protocol/messages.ts";
import { RuntimeGone } from "../runtime/supervisor/runtime-process.ts";
import type { SupervisedRuntime } from "../runtime/supervisor/supervised-runtime.ts";
import type { Background } from "../scheduler/core-lease.ts";

export interface GramTaskOptions {
  readonly runtime: Pick<SupervisedRuntime, "ready" | "buildGramStep">;
  readonly background: Background;
  /** Time limit of one block in milliseconds: a request that comes meanwhile waits behind it. */
  readonly watchdog: number;
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
    const { runtime, background, watchdog, onStep } = this.#options;
    const ready = (): Promise<void> | null => runtime.ready();
    while (this.#running) {
      // It may be stopped while waiting for its turn.
      const progress = await background.turn(ready, async (expected) =>
        this.#stopped ? null : runtime.buildGramStep({ expected, limit: watchdog }),
      );
      if (progress === null || this.#stopped) return;
      this.#running = progress.more;
      onStep(progress);
    }
  }
}
