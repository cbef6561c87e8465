import { EngineError } from "../core/errors.ts";
import type { MemoryLedger } from "../scheduler/memory-ledger.ts";

export interface EvictionOptions {
  readonly memory: Pick<MemoryLedger, "free" | "allowed">;
  /** Whether a dictionary could be unloaded now, were no request using it. */
  readonly isLoaded: (id: string) => boolean;
  /** Whether loads are under way, whose memory may turn out to be less than foreseen. */
  readonly isLoading: () => boolean;
  /** Unloads a dictionary that no request uses. */
  readonly evict: (id: string) => Promise<unknown>;
}

/**
 * Makes room for dictionaries that are loaded at their first request: the least recently used one that no request uses is unloaded.
 * Loads take turns at making room, so that none takes what another has freed.
 */
export class Eviction {
  readonly #options: EvictionOptions;
  /** Requests that use each dictionary, the least recently used first. */
  readonly #uses = new Map<string, number>();
  #turn: Promise<void> = Promise.resolve();
  #onChange: () => void = () => {};
  #ended = false;

  constructor(options: EvictionOptions) {
    this.#options = options;
  }

  /** A request begins to use a dictionary: it is kept until the returned function is called. */
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
   * Starts a load when there is room for it. What exceeds all that dictionaries may have is started at once: its claim is refused.
   * @param needed bytes; null: unknown, as of a folder that cannot be read
   * @throws EngineError PURSUIT_NOT_READY when no request waits for the dictionary any more
   */
  async admit(id: string, needed: number | null, start: () => Promise<void>): Promise<void> {
    const before = this.#turn;
    let pass = (): void => {};
    this.#turn = new Promise((resolve) => (pass = resolve));
    await before;
    let started: Promise<void>;
    try {
      if (needed !== null) await this.#makeRoom(id, needed);
      // It claims its memory before it waits for anything.
      started = start();
    } finally {
      pass();
    }
    await started;
  }

  /** Something was loaded, unloaded or released: who waits for room looks again. */
  changed(): void {
    this.#onChange();
  }

  /** Loads that wait for room are given up. */
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
