import { type Clock, pause } from "../core/clock.ts";
import type { ServingOptions } from "./serving-options.ts";
import { Fault, shortageOf } from "../core/errors.ts";
import { ranOutOfMemory, RuntimeGone } from "../runtime/supervisor/runtime-process.ts";
import type { DictionaryMemory } from "./dictionary-memory.ts";

/** Milliseconds between two lines of progress. */
const SAY_EVERY = 1_500;

/** Names that a line shows. */
const SHOWN = 4;

interface LoadQueueOptions {
  readonly clock: Clock;
  /** Loads at a time; asked whenever one may begin. */
  readonly parallel: () => number;
  readonly log: ServingOptions["log"];
}

/**
 * The loads of one server: a few at a time, the others in order of coming. While there are any, a line of progress is logged
 * again and again.
 */
export class LoadQueue {
  readonly #options: LoadQueueOptions;
  readonly #waiting: (() => void)[] = [];
  /** Loads under way and when they began. */
  readonly #running = new Map<string, number>();
  /** Loads that have their turn. */
  #active = 0;
  /** Loads that ended since the queue was last empty. */
  #done = 0;
  #stopSaying: (() => void) | null = null;

  constructor(options: LoadQueueOptions) {
    this.#options = options;
  }

  /**
   * Runs `load` when its turn has come.
   * @param name shown in lines of progress
   */
  async run<T>(name: string, load: () => Promise<T>): Promise<T> {
    this.#stopSaying ??= this.#sayLater();
    await new Promise<void>((turn) => {
      this.#waiting.push(turn);
      this.#grant();
    });
    this.#running.set(name, this.#options.clock.now());
    try {
      return await load();
    } finally {
      this.#running.delete(name);
      this.#active--;
      this.#done++;
      this.#grant();
      if (this.#active === 0) this.#rest();
    }
  }

  #grant(): void {
    // One at least, whatever the rule says.
    while (this.#waiting.length > 0 && this.#active < Math.max(1, this.#options.parallel())) {
      this.#active++;
      this.#waiting.shift()!();
    }
  }

  #sayLater(): () => void {
    return this.#options.clock.after(SAY_EVERY, () => {
      this.#stopSaying = this.#sayLater();
      this.#options.log("info", this.#progress(), {});
    });
  }

  #rest(): void {
    this.#stopSaying?.();
    this.#stopSaying = null;
    this.#done = 0;
  }

  /** @example "Done with 3 of 23 dictionaries; loading large (12 s), small (1 s)." */
  #progress(): string {
    const all = this.#done + this.#active + this.#waiting.length;
    const now = this.#options.clock.now();
    const shown = [...this.#running].slice(0, SHOWN).map(([name, began]) => `${name} (${seconds(now - began)} s)`);
    const more = this.#running.size > SHOWN ? ` and ${this.#running.size - SHOWN} more` : "";
    return `Done with ${this.#done} of ${all} dictionaries; loading ${shown.join(", ")}${more}.`;
  }
}

const seconds = (milliseconds: number): number => Math.round(milliseconds / 1000);

/** First pause in milliseconds between two tries while the system lacks something; it doubles each time. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 10_000;

/** Milliseconds before each further try of a load that ran out of memory. */
const MEMORY_PAUSES: readonly number[] = [1_000, 4_000];

/**
 * Decides whether and when a failed load is retried: while the system lacks descriptors, processes or the like, until
 * the load's time is over; and a few times, without a Gram matrix, when memory ran out.
 */
export class LoadRetry {
  readonly #id: string;
  readonly #options: Pick<ServingOptions, "clock" | "log" | "loadTimeoutMs">;
  readonly #signal: AbortSignal;
  readonly #began: number;
  #wait = FIRST_PAUSE;
  #tries = 0;

  /** @param signal ends a pause at once */
  constructor(id: string, options: Pick<ServingOptions, "clock" | "log" | "loadTimeoutMs">, signal: AbortSignal) {
    this.#id = id;
    this.#options = options;
    this.#signal = signal;
    this.#began = options.clock.now();
  }

  /**
   * Waits if another try may succeed.
   * @param memory of the version; null if it has none yet
   * @returns null to try again; otherwise the load's faults
   */
  async after(error: unknown, memory: DictionaryMemory | null): Promise<readonly string[] | null> {
    if (this.#signal.aborted) return null;
    if (memory !== null && ranOutOfMemory(error)) return this.#smaller(memory, error);
    const { clock, loadTimeoutMs } = this.#options;
    const shortage = shortageOf(error);
    if (shortage === null || clock.now() - this.#began >= loadTimeoutMs) return faultsOf(error);
    await this.#pause(`Dictionary ${this.#id} is not loaded yet: ${shortage}. Trying again`, this.#wait);
    this.#wait = Math.min(2 * this.#wait, LONGEST_PAUSE);
    return null;
  }

  async #smaller(memory: DictionaryMemory, error: unknown): Promise<readonly string[] | null> {
    const smaller = memory.shrink() ? " without its Gram matrix" : "";
    const why = error instanceof RuntimeGone ? "the system killed its runtime process" : faultsOf(error).join(" ");
    const wait = MEMORY_PAUSES[this.#tries++];
    if (wait === undefined) return [memory.outOfMemory(this.#tries, why)];
    const needed = `probably out of memory, about ${memory.needed} needed`;
    await this.#pause(`Dictionary ${this.#id} is not loaded yet: ${why}: ${needed}. Trying again${smaller}`, wait);
    return null;
  }

  #pause(what: string, milliseconds: number): Promise<void> {
    const { clock, log } = this.#options;
    log("warn", `${what} in ${milliseconds} ms.`, { dictionary: this.#id });
    return pause(clock, milliseconds, this.#signal);
  }
}

/** Texts of a failed load: a dictionary's faults one by one, or the error's own message. */
export function faultsOf(error: unknown): readonly string[] {
  if (error instanceof Fault) return error.faults;
  return [error instanceof Error ? error.message : String(error)];
}
