import type { Clock } from "../core/clock.ts";
import type { CoreLease, LeaseHolder } from "./core-lease.ts";

/** Of the cores' time that requests of one dictionary have where they want all of it. */
const SHARE = 1 / 4;

/** What a turn is taken to need before one has been seen, in milliseconds. */
const FIRST_GUESS = 10;

/**
 * Turns at the cores for what nobody waits for, one after another for all dictionaries together: where requests want all of
 * the time it has a fifth of it, however many dictionaries are at work at themselves.
 */
export class Background {
  readonly #clock: Clock;
  readonly #holder: LeaseHolder;
  /** When the turn under way began; null where none is. */
  #began: number | null = null;
  /** Milliseconds that the last one took. */
  #each = FIRST_GUESS;

  /** @param cores that a turn occupies */
  constructor(lease: CoreLease, cores: number, clock: Clock) {
    this.#clock = clock;
    const running = (): number => (this.#began === null ? 0 : Math.max(0, this.#began + this.#each - clock.now()));
    // How many turns are to come nobody knows: as many as its share allows.
    const total = (): number => (this.#holder.waiting.length > 0 || this.#began !== null ? Infinity : 0);
    this.#holder = lease.join({ running, total }, cores, SHARE);
  }

  /**
   * Runs `use` when its turn has come, with the milliseconds that it should take.
   * @param ready as of the scheduler's Executor: there is no turn while what is used restarts or hangs
   */
  turn<T>(ready: () => Promise<void> | null, use: (expected: number) => Promise<T>): Promise<T> {
    const expected = this.#each;
    return this.#holder.holdWhenReady(ready, () => this.#timed(() => use(expected)), expected);
  }

  async #timed<T>(use: () => Promise<T>): Promise<T> {
    const began = (this.#began = this.#clock.now());
    try {
      return await use();
    } finally {
      this.#each = this.#clock.now() - began;
      this.#began = null;
    }
  }
}
