import type { Clock } from "../core/clock.ts";
import type { ServingOptions } from "./serving-options.ts";

/** Milliseconds between two lines of progress. */
const SAY_EVERY = 1_500;

/** Names that a line shows. */
const SHOWN = 4;

export interface LoadQueueOptions {
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
