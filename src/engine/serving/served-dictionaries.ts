import type { Clock } from "../core/clock.ts";
import type { DictionaryStatus, Readiness, ReadyRule } from "../engine.ts";
import { EngineError, Fault } from "../core/errors.ts";
import type { MemoryLedger } from "../scheduler/memory-ledger.ts";
import { Eviction } from "./eviction.ts";
import type { DictionaryLoad, ServedDictionary } from "./served-dictionary.ts";

/** Loads at the first request instead of the start. */
export interface OnDemand {
  readonly clock: Clock;
  readonly memory: MemoryLedger;
  /** Milliseconds that a request waits for its dictionary at most. */
  readonly maxWaitMs: number;
}

/** Tries of a load whose memory was taken by what others turned out to need. */
const LOAD_TRIES = 3;

/** The dictionaries of one server, each by its present version: loading, replacing and unloading them. */
export class ServedDictionaries {
  readonly #present: Map<string, ServedDictionary>;
  readonly #open: (id: string) => Promise<ServedDictionary | null>;
  /** Loads and unloads under way, by dictionary: one at a time each. */
  readonly #changes = new Map<string, Promise<unknown>>();
  /** Versions that are being loaded. */
  readonly #loading = new Set<ServedDictionary>();
  readonly #ready: ReadyRule;
  /** Ids that the server owes: readiness counts these. A failed load of a new dictionary does not add it. */
  readonly #owed: Set<string>;
  /** Whether every dictionary that was there at the start has been loaded or found broken. */
  #started = false;
  #draining = false;
  readonly #onDemand: OnDemand | null;
  readonly #eviction: Eviction | null;

  /** @param open a version of the dictionary in the models folder's folder of that name, not yet loaded; null: no folder */
  constructor(
    dictionaries: readonly ServedDictionary[],
    open: (id: string) => Promise<ServedDictionary | null>,
    ready: ReadyRule,
    onDemand: OnDemand | null = null,
  ) {
    this.#present = new Map(dictionaries.map((dictionary) => [dictionary.id, dictionary]));
    this.#owed = new Set(this.#present.keys());
    this.#open = open;
    this.#ready = ready;
    this.#onDemand = onDemand;
    this.#eviction =
      onDemand &&
      new Eviction({
        memory: onDemand.memory,
        isLoaded: (id) => this.#present.get(id)?.state === "ready" && !this.#changes.has(id),
        isLoading: () => [...this.#loading].some(({ state }) => state === "loading"),
        evict: (id) => this.#change(id, () => this.find(id).rest()),
      });
  }

  get draining(): boolean {
    return this.#draining;
  }

  list(): readonly DictionaryStatus[] {
    return [...this.#present.values()].map((dictionary) => dictionary.status());
  }

  /** What each dictionary waits for and holds now. */
  loads(): readonly DictionaryLoad[] {
    return [...this.#present.values()].map((dictionary) => dictionary.currentLoad());
  }

  /** The version that is served or loading first; undefined where there is no such dictionary. */
  present(id: string): ServedDictionary | undefined {
    return this.#present.get(id);
  }

  /** @throws EngineError PURSUIT_DICTIONARY_NOT_FOUND */
  find(id: string): ServedDictionary {
    const dictionary = this.#present.get(id);
    if (dictionary !== undefined) return dictionary;
    throw new EngineError(
      "PURSUIT_DICTIONARY_NOT_FOUND",
      `There is no dictionary ${id}; GET /v1/dictionaries lists them.`,
    );
  }

  readiness(): Readiness {
    const owed = [...this.#owed].map((id) => this.find(id).status());
    const missing = owed.filter(({ state, onDemand = false }) => state !== "ready" && !onDemand);
    const answering = owed.length - missing.length;
    // A dictionary whose runtime process hangs or restarts is said, and does not make the server unready.
    const silent = owed
      .filter(
        ({ state, onDemand = false, runtimeState = "running" }) =>
          (state !== "ready" && !onDemand) || (state === "ready" && runtimeState !== "running"),
      )
      .map(({ id, state, faults, runtimeState }) => ({ id, state, faults, ...(runtimeState && { runtimeState }) }));
    const shown = silent.length > 0 && { missing: silent };
    if (this.#draining) return { ready: false, reason: "The server is draining.", ...shown };
    if (this.#present.size === 0) return { ready: false, reason: "There is no dictionary to serve." };
    // With nothing owed an operator has unloaded everything: that does not take the server from its load balancer.
    if (missing.length === 0 || (this.#ready === "any" && answering > 0)) return { ready: true, ...shown };
    const reason = this.#started
      ? `${missing.length} of ${owed.length} dictionaries do not answer: ${missing.map(inWords).join(" ")}`
      : `Dictionaries are still being loaded: ${answering} of ${owed.length} answer.`;
    return { ready: false, reason, ...shown };
  }

  /**
   * What takes several calls, by the present versions; once more from the beginning where one of them was replaced between
   * two calls: codes of one version are never added up by atoms of another.
   */
  async byPresent<T>(
    ids: readonly string[],
    run: (dictionaries: readonly ServedDictionary[]) => Promise<T>,
  ): Promise<T> {
    const present = (): readonly ServedDictionary[] => ids.map((id) => this.find(id));
    const dictionaries = present();
    try {
      return await run(dictionaries);
    } catch (error) {
      const gone =
        error instanceof EngineError && (error.code === "PURSUIT_DRAINING" || error.code === "PURSUIT_NOT_READY");
      if (!gone || present().every((dictionary, i) => dictionary === dictionaries[i])) throw error;
      return run(present());
    }
  }

  /**
   * Keeps a dictionary loaded until the returned function is called, and loads it first where it is not; null where dictionaries are
   * loaded at the start.
   */
  hold(id: string): Promise<() => void> | null {
    return this.#onDemand === null ? null : this.#hold(id, this.#onDemand, this.#eviction!);
  }

  /**
   * Starts what takes more memory for a dictionary in use, after unloading idle ones where dictionaries are loaded on demand.
   * @param needed bytes
   * @throws EngineError PURSUIT_NOT_READY when no request waits for it any more, or others take more memory than foreseen
   */
  async admit<T>(id: string, needed: number, start: () => Promise<T>): Promise<T> {
    if (this.#eviction === null) return start();
    for (let tries = 1; ; tries++) {
      try {
        return await this.#eviction.admit(id, needed, start);
      } catch (error) {
        const full = error instanceof Fault && error.code === "memory_limit";
        // What can never fit stays refused, with both numbers.
        if (!full || needed > this.#onDemand!.memory.allowed) throw error;
        if (tries === LOAD_TRIES) throw noRoom(id);
      }
    }
  }

  /** @throws EngineError PURSUIT_NOT_READY when it takes too long, PURSUIT_DRAINING, PURSUIT_DICTIONARY_NOT_FOUND */
  async #hold(id: string, { clock, maxWaitMs }: OnDemand, eviction: Eviction): Promise<() => void> {
    this.find(id);
    const release = eviction.use(id);
    let cancel = (): void => {};
    const late = new Promise<"late">((resolve) => (cancel = clock.after(maxWaitMs, () => resolve("late"))));
    try {
      for (;;) {
        const dictionary = this.find(id);
        if (dictionary.state === "ready" && !this.#changes.has(id)) return release;
        const load = (): Promise<unknown> => this.#change(id, () => this.#load(dictionary));
        const change = this.#changes.get(id) ?? (dictionary.state === "registered" ? load() : null);
        // Failed or unloaded: what it is asked for says so.
        if (change === null) return release;
        if ((await Promise.race([change, late])) === "late") {
          const message = `Dictionary ${id} is not loaded yet: it waits for memory that others use, or is being read. Ask again.`;
          throw new EngineError("PURSUIT_NOT_READY", message, { retryAfter: Math.ceil(maxWaitMs / 1000) });
        }
      }
    } catch (error) {
      release();
      throw error;
    } finally {
      cancel();
    }
  }

  /**
   * Loads every dictionary that was there at the start; resolves when each is ready or failed. Where they are loaded at their first
   * request, only reads what they are.
   */
  async start(): Promise<void> {
    const dictionaries = [...this.#present.values()];
    // All ask for memory before the first load begins: a Gram matrix must not take what a later dictionary needs.
    const needs = await Promise.all(dictionaries.map((dictionary) => dictionary.prepare()));
    if (this.#onDemand !== null) {
      // A load says what is wrong with those that cannot be read.
      const broken = dictionaries.filter((_, i) => needs[i] === null);
      await Promise.all(broken.map((dictionary) => this.#change(dictionary.id, () => this.#load(dictionary))));
      this.#started = true;
      return;
    }
    await Promise.all(dictionaries.map((dictionary) => this.#change(dictionary.id, () => this.#load(dictionary))));
    this.#started = true;
  }

  load(id: string): Promise<DictionaryStatus> {
    return this.#change(id, async () => {
      const next = await this.#open(id);
      if (next === null) {
        const message = `There is no folder ${JSON.stringify(id)} in the models folder; put the dictionary there first.`;
        throw new EngineError("PURSUIT_DICTIONARY_NOT_FOUND", message);
      }
      const present = this.#present.get(id);
      const keeps = present?.state === "ready";
      // Shown while it loads, unless there is one to be served by until then.
      if (!keeps) {
        this.#present.set(id, next);
        await present?.unload();
      }
      await this.#load(next);
      if (this.#draining) {
        await next.unload();
        throw new EngineError("PURSUIT_DRAINING", "The server is shutting down.", { retryAfter: 1 });
      }
      if (next.state === "failed") {
        const { faults } = next.status();
        const message = `Dictionary ${id} could not be loaded: ${faults.join(" ")}`;
        throw new EngineError(
          next.outOfMemory ? "PURSUIT_MEMORY_FULL" : "PURSUIT_DICTIONARY_FAILED",
          keeps ? `${message} What was loaded before is still served.` : message,
        );
      }
      this.#present.set(id, next);
      this.#owed.add(id);
      if (keeps) await present.unload();
      return next.status();
    });
  }

  unload(id: string): Promise<DictionaryStatus> {
    return this.#change(id, async () => {
      const dictionary = this.find(id);
      this.#owed.delete(id);
      if (dictionary.state !== "unloaded") await dictionary.unload();
      return dictionary.status();
    });
  }

  /**
   * Not ready from now on, though it still answers: the first step of a rolling restart. Loads under way end, and a hung
   * process is given up after seconds.
   */
  drain(): void {
    this.#draining = true;
    this.#eviction?.end();
    for (const dictionary of this.#loading) dictionary.giveUpLoading();
    for (const dictionary of this.#present.values()) dictionary.hurry();
  }

  /** Answers what was accepted, then ends every runtime process. */
  async close(): Promise<void> {
    this.drain();
    await Promise.allSettled(this.#changes.values());
    await Promise.all([...this.#present.values()].map((dictionary) => dictionary.unload()));
  }

  async #load(dictionary: ServedDictionary): Promise<void> {
    this.#loading.add(dictionary);
    try {
      if (this.#eviction === null) await dictionary.load();
      else await this.#loadInRoom(dictionary, this.#onDemand!, this.#eviction);
    } finally {
      this.#loading.delete(dictionary);
      this.#eviction?.changed();
    }
  }

  async #loadInRoom(dictionary: ServedDictionary, { memory }: OnDemand, eviction: Eviction): Promise<void> {
    const { id } = dictionary;
    const needed = await dictionary.prepare();
    for (let tries = 1; ; tries++) {
      await eviction.admit(id, needed, () => dictionary.load());
      // What can never fit stays refused, with both numbers.
      if (!dictionary.outOfMemory || needed === null || needed > memory.allowed) return;
      await dictionary.rest();
      if (tries < LOAD_TRIES) continue;
      throw noRoom(id);
    }
  }

  /** One change of a dictionary at a time. @throws EngineError PURSUIT_BEING_REPLACED, PURSUIT_DRAINING */
  async #change<T>(id: string, change: () => Promise<T>): Promise<T> {
    if (this.#draining) {
      throw new EngineError("PURSUIT_DRAINING", "The server is shutting down.", { retryAfter: 1 });
    }
    if (this.#changes.has(id)) {
      const message = `Dictionary ${id} is being loaded, replaced or unloaded already; ask again when that is done.`;
      throw new EngineError("PURSUIT_BEING_REPLACED", message, { retryAfter: 1 });
    }
    const changed = change();
    this.#changes.set(id, changed);
    try {
      return await changed;
    } finally {
      this.#changes.delete(id);
      this.#eviction?.changed();
    }
  }
}

function noRoom(id: string): EngineError {
  const message = `Dictionary ${id} found no room: others turned out to need more memory than foreseen. Ask again.`;
  return new EngineError("PURSUIT_NOT_READY", message, { retryAfter: 1 });
}

/** @example "small (failed): center is missing." */
const inWords = ({ id, state, faults }: DictionaryStatus): string =>
  faults.length > 0 ? `${id} (${state}): ${faults.join(" ")}` : `${id} (${state}).`;
