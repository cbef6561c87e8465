import { EngineError } from "../core/errors.ts";
import type { MemoryLedger } from "../scheduler/memory-ledger.ts";

export interface EvictionOptions {
  readonly memory: Pick<MemoryLedger, "free" | "allowed">;
  /** Whether a dictionary could be unloaded now if no request used it. */
  readonly isLoaded: (id: string) => boolean;
  /** Whether loads are under way, which may take less memory than estimated. */
  readonly isLoading: () => boolean;
  /** Unloads an unused dictionary. */
  readonly evict: (id: string) => Promise<unknown>;
}

/**
 * Makes room for dictionaries that are loaded on demand: unloads the least recently used one that no request uses.
 * Loads take turns, so that none takes the room that another has made.
 */
export class Eviction {
  readonly #options: EvictionOptions;
  /** Number of requests that use each dictionary, the least recently used first. */
  readonly #uses = new Map<string, number>();
  #turn: Promise<void> = Promise.resolve();
  #onChange: () => void = () => {};
  #ended = false;

  constructor(options: EvictionOptions) {
    this.#options = options;
  }

  /** Marks a dictionary as used by a request. @returns ends the use */
  use(id: string): () => void {
    this.#count(id, 1);
    let using = true;
    return () => {
      if (!using) return;
      using = false;
      this.#count(id, -1);
      this.changed();
    };
  }

  /**
   * Starts a load when there is room for it. A load larger than all the memory of dictionaries starts at once, and its
   * claim is refused.
   * @param needed bytes; null: unknown, as for a folder that cannot be read
   * @throws EngineError PURSUIT_NOT_READY when no request waits for the dictionary any more
   */
  async admit<T>(id: string, needed: number | null, start: () => Promise<T>): Promise<T> {
    const before = this.#turn;
    let pass = (): void => {};
    this.#turn = new Promise((resolve) => (pass = resolve));
    await before;
    let started: Promise<T>;
    try {
      if (needed !== null) await this.#makeRoom(id, needed);
      // It claims its memory before it waits for anything.
      started = start();
    } finally {
      pass();
    }
    return started;
  }

  /** Memory was loaded, unloaded or released: waiting loads check again. */
  changed(): void {
    this.#onChange();
  }

  /** Gives up loads that wait for room. */
  end(): void {
    this.#ended = true;
    this.changed();
  }

  async #makeRoom(id: string, needed: number): Promise<void> {
    const { memory, evict, isLoading } = this.#options;
    while (needed > memory.free && needed <= memory.allowed && !this.#ended) {
      if ((this.#uses.get(id) ?? 0) === 0) {
        throw new EngineError("PURSUIT_NOT_READY", `No request waits for dictionary ${id} any more.`, {
          retryAfter: 1,
        });
      }
      const idle = this.#leastRecentlyUsed(id);
      if (idle !== null) await evict(idle);
      else if (isLoading() || this.#othersUsed(id)) await new Promise<void>((resolve) => (this.#onChange = resolve));
      else return;
    }
  }

  #leastRecentlyUsed(except: string): string | null {
    for (const [id, uses] of this.#uses) {
      if (id !== except && uses === 0 && this.#options.isLoaded(id)) return id;
    }
    return null;
  }

  #othersUsed(except: string): boolean {
    return [...this.#uses].some(([id, uses]) => id !== except && uses > 0 && this.#options.isLoaded(id));
  }

  #count(id: string, change: number): void {
    const uses = (this.#uses.get(id) ?? 0) + change;
    this.#uses.delete(id);
    this.#uses.set(id, uses);
  }
}
