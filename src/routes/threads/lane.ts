import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Piscina } from "piscina";
import { WireError, type WireFaultCode } from "../../codecs/codec-error.ts";
import type { Cancellation } from "../../engine/core/cancellation.ts";
import { clientClosed, shortageOf } from "../../engine/core/errors.ts";
import type { WireTask, WorkerResult } from "./worker.ts";

/** Milliseconds that an idle thread is kept. */
const IDLE_MILLISECONDS = 30_000;

/** Milliseconds between two tries to start a thread; each failure doubles them. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5_000;

/** Whether this file runs from source; then the threads do too. */
const SOURCE = import.meta.url.endsWith(".ts");
const WORKER = fileURLToPath(new URL(SOURCE ? "./worker.ts" : "./worker.js", import.meta.url));

export interface LaneOptions {
  /** Tasks at once. */
  readonly threads: number;
  /** Bytes of a thread's heap: a thread that needs more ends with its task, and another replaces it. */
  readonly heap: number;
  /** Called when a thread did not start. */
  readonly warn: (message: string) => void;
  /** Another file for the threads. */
  readonly filename?: string;
}

/** A task, the memory that moves to the thread with it, and its client's cancellation. */
export interface Job {
  readonly task: WireTask;
  readonly transfer: readonly ArrayBuffer[];
  readonly cancellation: Cancellation | null;
}

/** Threads for tasks of similar size, first come first served. A cancelled task is not started. */
export class Lane {
  readonly #pool: Piscina<WireTask, WorkerResult>;
  readonly #heap: number;
  readonly #warn: (message: string) => void;
  #free: number;
  /** Start tasks that wait for a thread, in order. */
  readonly #waiting = new Set<() => void>();
  #pause = FIRST_PAUSE;
  #closing = false;

  constructor({ threads, heap, warn, filename = WORKER }: LaneOptions) {
    this.#free = threads;
    this.#heap = heap;
    this.#warn = warn;
    const source = filename.endsWith(".ts");
    this.#pool = new Piscina<WireTask, WorkerResult>({
      filename,
      // One is kept: the system may refuse another when a large body comes. From source a thread takes a second to
      // start.
      minThreads: source ? 0 : 1,
      maxThreads: threads,
      idleTimeout: IDLE_MILLISECONDS,
      resourceLimits: { maxOldGenerationSizeMb: Math.ceil(heap / 2 ** 20) },
      ...(source && { execArgv: ["--import", "tsx"] }),
    });
    this.#pool.on("error", (error: Error) => this.#onLost(error));
  }

  /** Resolves once a thread runs, which may need several tries. */
  async start(): Promise<void> {
    await this.#pool.run({ type: "start" });
    this.#pause = FIRST_PAUSE;
  }

  /**
   * @throws WireError PURSUIT_BODY_TOO_LARGE, PURSUIT_ANSWER_TOO_LARGE when the task needs more memory than a thread
   *   has
   * @throws EngineError PURSUIT_CLIENT_CLOSED when its client disconnects before the start
   */
  async run({ task, transfer, cancellation }: Job): Promise<WorkerResult> {
    await this.#turn(cancellation);
    try {
      return await this.#pool.run(task, { transferList: [...transfer] });
    } catch (error) {
      throw isOutOfMemory(error) ? outOfMemory(task, this.#heap) : error;
    } finally {
      this.#free++;
      const [next] = this.#waiting;
      next?.();
    }
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#pool.close({ force: true });
  }

  /** Waits for a thread and takes it. */
  #turn(cancellation: Cancellation | null): Promise<void> {
    return new Promise((resolve, reject) => {
      const begin = (): void => {
        this.#waiting.delete(begin);
        cancellation?.unlisten(leave);
        this.#free--;
        resolve();
      };
      const leave = (): void => {
        this.#waiting.delete(begin);
        reject(clientClosed());
      };
      if (cancellation?.cancelled) leave();
      else if (this.#free > 0) begin();
      else {
        this.#waiting.add(begin);
        cancellation?.listen(leave);
      }
    });
  }

  /** Piscina starts no replacement for a thread that did not start until the next task comes; others wait behind it. */
  #onLost(error: Error): void {
    if (this.#closing) return;
    const why = shortageOf(error) ?? error.message;
    if (this.#pool.threads.length > 0) return this.#warn(`A further thread for large bodies did not start: ${why}.`);
    this.#warn(`No thread for large bodies could be started: ${why}. Trying again in ${this.#pause} ms.`);
    const pause = this.#pause;
    this.#pause = Math.min(2 * pause, LONGEST_PAUSE);
    void this.#startAfter(pause);
  }

  async #startAfter(pause: number): Promise<void> {
    await setTimeout(pause);
    // The lane may have been closed meanwhile.
    await this.start().catch(() => {});
  }
}

const isOutOfMemory = (error: unknown): boolean =>
  (error as NodeJS.ErrnoException | null)?.code === "ERR_WORKER_OUT_OF_MEMORY";

function outOfMemory({ type }: WireTask, heap: number): WireError {
  const reads = type.startsWith("read");
  const code: WireFaultCode = reads ? "PURSUIT_BODY_TOO_LARGE" : "PURSUIT_ANSWER_TOO_LARGE";
  const what = reads ? "Reading the body" : "Writing the answer";
  return new WireError(code, `${what} takes over ${heap} bytes of memory. Send fewer rows at once.`);
}
