import { lstat, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { DICTIONARY_ID_PATTERN } from "../../core/dictionary.ts";
import { EngineError } from "../../core/errors.ts";
import { invalidEdit } from "../../core/read-edits.ts";
import { deleteDurably, PARTIAL_PREFIX, writeDurably } from "./durable-file.ts";
import { readSetFile, setFileText, type StoredSet } from "./set-file.ts";

export type StoreLog = (level: "info" | "warn" | "error", message: string, details: Record<string, unknown>) => void;

/** Sets of one dictionary at most: each is held in memory. */
export const MAX_SETS = 10_000;

/** A file over this is not read, so none is written: 256 edits by vectors of 8,192 numbers fit. */
const MAX_FILE_BYTES = 64 * 2 ** 20;

const SUFFIX = ".json";
const ASIDE = ".set-aside";
const NAME = new RegExp(DICTIONARY_ID_PATTERN);

/**
 * Named steering sets in memory, and each as a file `<folder>/<dictionary>/<name>.json`. A change is made on disk first:
 * what is seen here would outlast a crash. One server to a folder.
 */
export class SteeringStore {
  readonly #folder: string;
  readonly #log: StoreLog;
  readonly #sets = new Map<string, Map<string, StoredSet>>();
  #last: Promise<unknown> = Promise.resolve();

  /** Holds nothing of what is there already: {@link SteeringStore.open} reads it. */
  constructor(folder: string, log: StoreLog) {
    this.#folder = folder;
    this.#log = log;
  }

  /** Reads what is there. Never throws: what cannot be read is set aside, or left where it is, with a log line. */
  static async open(folder: string, log: StoreLog): Promise<SteeringStore> {
    const store = new SteeringStore(folder, log);
    for (const dictionary of await store.#entries(folder)) {
      const inside = join(folder, dictionary);
      if (!NAME.test(dictionary) || !(await isFolder(inside))) {
        if (!dictionary.endsWith(ASIDE)) await store.#setAside(inside, "no dictionary's folder has that name");
        continue;
      }
      for (const file of await store.#entries(inside)) await store.#readFile(dictionary, join(inside, file), file);
    }
    return store;
  }

  of(dictionary: string): ReadonlyMap<string, StoredSet> {
    return this.#sets.get(dictionary) ?? new Map();
  }

  /**
   * Puts, or with null deletes, what `change` makes of the set that is there, one change at a time.
   * @throws EngineError PURSUIT_STEERING_FULL, PURSUIT_STATE_FAILED; and whatever `change` throws.
   */
  change(
    dictionary: string,
    name: string,
    change: (present: StoredSet | undefined) => StoredSet | null,
  ): Promise<void> {
    const next = this.#last.then(async () => {
      const sets = this.#sets.get(dictionary) ?? new Map<string, StoredSet>();
      const set = change(sets.get(name));
      if (set !== null && !sets.has(name) && sets.size >= MAX_SETS) {
        const message = `Dictionary ${dictionary} has ${MAX_SETS} steering sets, which is as many as are kept; delete some.`;
        throw new EngineError("PURSUIT_STEERING_FULL", message);
      }
      const file = join(this.#folder, dictionary, name + SUFFIX);
      const text = set === null ? "" : setFileText(set);
      if (text.length > MAX_FILE_BYTES) {
        throw invalidEdit(`The edits take ${text.length} bytes; a steering set takes at most ${MAX_FILE_BYTES}.`);
      }
      try {
        if (set === null) await deleteDurably(file);
        else await writeDurably(file, text);
      } catch (error) {
        this.#log("error", `${file} could not be written: ${words(error)}; see PURSUIT_STATE_DIR.`, { dictionary });
        const message = `The steering set ${name} was not ${set === null ? "deleted" : "saved"}: the state folder cannot be written.`;
        throw new EngineError("PURSUIT_STATE_FAILED", message, { cause: error });
      }
      if (set === null) sets.delete(name);
      else sets.set(name, set);
      this.#sets.set(dictionary, sets);
    });
    this.#last = next.catch(() => {});
    return next;
  }

  /** Binds the sets of one digest to another. Never throws: a set that cannot be written stays as it was, with a log line. */
  async rebind(dictionary: string, from: string, to: string): Promise<void> {
    for (const [name, { sha256 }] of this.of(dictionary)) {
      if (sha256 !== from) continue;
      try {
        await this.change(dictionary, name, (present) =>
          present?.sha256 === from ? { ...present, sha256: to } : (present ?? null),
        );
        this.#log("info", `The steering set ${name} of ${dictionary} is now bound to the sha256 of its version.`, {
          dictionary,
        });
      } catch (error) {
        this.#log("error", `The steering set ${name} of ${dictionary} stays stale: ${words(error)}`, { dictionary });
      }
    }
  }

  async #readFile(dictionary: string, path: string, file: string): Promise<void> {
    if (file.endsWith(ASIDE)) return;
    if (file.startsWith(PARTIAL_PREFIX)) {
      // A write that was never acknowledged.
      await rm(path, { force: true, recursive: true }).catch(() => {});
      return;
    }
    const name = file.slice(0, -SUFFIX.length);
    try {
      if (!file.endsWith(SUFFIX) || !NAME.test(name)) throw new Error("no steering set's file has that name");
      const { size, isFile } = await lstat(path).then((found) => ({ size: found.size, isFile: found.isFile() }));
      if (!isFile) throw new Error("it is not a plain file");
      if (size > MAX_FILE_BYTES) throw new Error(`it is ${size} bytes long, over ${MAX_FILE_BYTES}`);
      const set = readSetFile(await readFile(path));
      const sets = this.#sets.get(dictionary) ?? new Map<string, StoredSet>();
      this.#sets.set(dictionary, sets.set(name, set));
    } catch (error) {
      await this.#setAside(path, words(error));
    }
  }

  async #entries(folder: string): Promise<readonly string[]> {
    try {
      return (await readdir(folder)).toSorted();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
        this.#log("error", `Steering sets in ${folder} cannot be read: ${words(error)}.`, {});
      }
      return [];
    }
  }

  async #setAside(path: string, why: string): Promise<void> {
    const aside = path + ASIDE;
    try {
      await rename(path, aside);
      this.#log("warn", `${path} is no steering set (${why}); it was set aside as ${aside}.`, {});
    } catch (error) {
      this.#log("warn", `${path} is no steering set (${why}), and could not be set aside: ${words(error)}.`, {});
    }
  }
}

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const isFolder = (path: string): Promise<boolean> =>
  lstat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
