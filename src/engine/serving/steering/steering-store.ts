import { lstat, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { DICTIONARY_ID_PATTERN } from "../../core/dictionary.ts";
import { EngineError } from "../../core/errors.ts";
import { invalidEdit } from "../../core/edits.ts";
import {
  deleteDurably,
  editsOf,
  PARTIAL_PREFIX,
  readSetFile,
  setFileText,
  storedSet,
  type StoredSet,
  writeDurably,
} from "./set-file.ts";

export type StoreLog = (level: "info" | "warn" | "error", message: string, details: Record<string, unknown>) => void;

/** Bytes of one set's file at most: 256 edits by vectors of 1,024 numbers fit. A larger one holds the event loop for long. */
export const MAX_SET_BYTES = 8 * 2 ** 20;

/** Disks keep files in blocks of this many bytes, and each set takes some memory: no set counts for less. */
const BLOCK = 4096;

const SUFFIX = ".json";
const ASIDE = ".set-aside";
const NAME = new RegExp(DICTIONARY_ID_PATTERN);

/** What is held in memory of a set. */
export interface SetEntry {
  /** Version of the dictionary that it was made for. */
  readonly sha256: string;
  readonly version: string;
  /** How many. */
  readonly edits: number;
  /** Of its file. */
  readonly bytes: number;
}

/** Sets of one dictionary. */
interface Sets {
  /** Ascending. */
  readonly names: string[];
  readonly entries: Map<string, SetEntry>;
}

/**
 * Named steering sets, each a file `<folder>/<dictionary>/<name>.json`. Their edits stay on disk, and all files together
 * within `limit` bytes. A change is made on disk first: what is seen here would outlast a crash. One server to a folder.
 */
export class SteeringStore {
  readonly #folder: string;
  readonly #limit: number;
  readonly #log: StoreLog;
  readonly #sets = new Map<string, Sets>();
  #used = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** Holds nothing of what is there already: {@link SteeringStore.open} reads it. */
  constructor(folder: string, limit: number, log: StoreLog) {
    this.#folder = folder;
    this.#limit = limit;
    this.#log = log;
  }

  /** Reads what is there. Never throws: what cannot be read is set aside, or left where it is, with a log line. */
  static async open(folder: string, limit: number, log: StoreLog): Promise<SteeringStore> {
    const store = new SteeringStore(folder, limit, log);
    for (const dictionary of await store.#entries(folder)) {
      const inside = join(folder, dictionary);
      if (!NAME.test(dictionary) || !(await isFolder(inside))) {
        if (!dictionary.endsWith(ASIDE)) await store.#setAside(inside, "its name is not a dictionary's");
        continue;
      }
      for (const file of await store.#entries(inside)) await store.#readFile(dictionary, join(inside, file), file);
    }
    if (store.#used > limit) {
      log("warn", `${store.#usage()}; sets can be deleted, and none saved until there is room.`, {});
    }
    return store;
  }

  entry(dictionary: string, name: string): SetEntry | undefined {
    return this.#sets.get(dictionary)?.entries.get(name);
  }

  /** Names of a dictionary's sets in ascending order, from the one after `after` on, at most `limit`. */
  names(dictionary: string, after: string, limit: number): readonly string[] {
    const { names } = this.#sets.get(dictionary) ?? noSets();
    const from = placeOf(names, after);
    const first = names[from] === after ? from + 1 : from;
    return names.slice(first, first + limit);
  }

  /** A set with its edits, from its file; undefined where there is none. @throws EngineError PURSUIT_STATE_FAILED */
  async read(dictionary: string, name: string): Promise<StoredSet | undefined> {
    const file = this.#fileOf(dictionary, name);
    try {
      return readSetFile(await readFile(file));
    } catch (error) {
      if (this.entry(dictionary, name) === undefined) return undefined;
      this.#log("error", `${file} could not be read: ${words(error)}; see PURSUIT_STATE_DIR.`, { dictionary });
      throw new EngineError("PURSUIT_STATE_FAILED", `The steering set ${name} cannot be read from the state folder.`, {
        cause: error,
      });
    }
  }

  /**
   * Puts what `change` makes of the set that is there, one change at a time; null deletes it, undefined leaves it.
   * @throws EngineError PURSUIT_STATE_FULL, PURSUIT_STATE_FAILED; and whatever `change` throws.
   */
  change(
    dictionary: string,
    name: string,
    change: (present: SetEntry | undefined) => { readonly set: StoredSet; readonly edits: number } | null | undefined,
  ): Promise<void> {
    const next = this.#last.then(async () => {
      const present = this.entry(dictionary, name);
      const changed = change(present);
      if (changed === undefined) return;
      const file = this.#fileOf(dictionary, name);
      if (changed === null) {
        await this.#write(dictionary, `The steering set ${name} was not deleted`, file, () => deleteDurably(file));
        this.#drop(dictionary, name);
        return;
      }
      const { set, edits } = changed;
      const text = setFileText(set);
      const bytes = Buffer.byteLength(text);
      this.#checkRoom(bytes, present);
      await this.#write(dictionary, `The steering set ${name} was not saved`, file, () => writeDurably(file, text));
      this.#put(dictionary, name, { sha256: set.sha256, version: set.version, edits, bytes });
    });
    this.#last = next.catch(() => {});
    return next;
  }

  /** @throws EngineError PURSUIT_INVALID_EDIT, PURSUIT_STATE_FULL */
  #checkRoom(bytes: number, present: SetEntry | undefined): void {
    if (bytes > MAX_SET_BYTES) {
      throw invalidEdit(`The edits take ${bytes} bytes; a steering set takes at most ${MAX_SET_BYTES}.`);
    }
    const more = costOf(bytes) - (present === undefined ? 0 : costOf(present.bytes));
    if (more <= 0 || this.#used + more <= this.#limit) return;
    const message = `${this.#usage()}; this one takes ${more} more. Delete some, or raise the limit.`;
    throw new EngineError("PURSUIT_STATE_FULL", message);
  }

  #usage(): string {
    return `Saved steering sets take ${this.#used} of ${this.#limit} bytes allowed (PURSUIT_STATE_LIMIT)`;
  }

  async #write(dictionary: string, failed: string, file: string, write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.#log("error", `${file} could not be written: ${words(error)}; see PURSUIT_STATE_DIR.`, { dictionary });
      throw new EngineError("PURSUIT_STATE_FAILED", `${failed}: the state folder cannot be written.`, { cause: error });
    }
  }

  #put(dictionary: string, name: string, entry: SetEntry): void {
    const sets = this.#sets.get(dictionary) ?? noSets();
    this.#sets.set(dictionary, sets);
    const present = sets.entries.get(name);
    if (present === undefined) sets.names.splice(placeOf(sets.names, name), 0, name);
    sets.entries.set(name, entry);
    this.#used += costOf(entry.bytes) - (present === undefined ? 0 : costOf(present.bytes));
  }

  #drop(dictionary: string, name: string): void {
    const sets = this.#sets.get(dictionary);
    const present = sets?.entries.get(name);
    if (sets === undefined || present === undefined) return;
    sets.entries.delete(name);
    sets.names.splice(placeOf(sets.names, name), 1);
    this.#used -= costOf(present.bytes);
  }

  #fileOf(dictionary: string, name: string): string {
    return join(this.#folder, dictionary, name + SUFFIX);
  }

  /** Binds the sets of one digest to another. Never throws: a set that cannot be written stays as it was, with a log line. */
  async rebind(dictionary: string, from: string, to: string): Promise<void> {
    for (const [name, { sha256 }] of this.#sets.get(dictionary)?.entries ?? []) {
      if (sha256 !== from) continue;
      try {
        const stored = await this.read(dictionary, name);
        if (stored === undefined) continue;
        await this.change(dictionary, name, (present) =>
          // Saved again meanwhile: it is as its client wants it.
          present?.version === stored.version ? { set: storedSet(to, stored.edits), edits: present.edits } : undefined,
        );
        if (this.entry(dictionary, name)?.sha256 !== to) continue;
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
      if (!file.endsWith(SUFFIX) || !NAME.test(name)) throw new Error("its name is not a steering set's");
      const { size, isFile } = await lstat(path).then((found) => ({ size: found.size, isFile: found.isFile() }));
      if (!isFile) throw new Error("it is not a plain file");
      if (size > MAX_SET_BYTES) throw new Error(`it is ${size} bytes long, over ${MAX_SET_BYTES}`);
      const set = readSetFile(await readFile(path));
      const { sha256, version } = set;
      this.#put(dictionary, name, { sha256, version, edits: editsOf(set).length, bytes: size });
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
      this.#log("warn", `${path} is not a steering set (${why}); it was renamed to ${aside}.`, {});
    } catch (error) {
      this.#log("warn", `${path} is not a steering set (${why}), and could not be renamed: ${words(error)}.`, {});
    }
  }
}

const noSets = (): Sets => ({ names: [], entries: new Map() });

const costOf = (bytes: number): number => Math.ceil(bytes / BLOCK) * BLOCK;

/** Where a name stands among ascending ones, or would. */
function placeOf(names: readonly string[], name: string): number {
  let [from, to] = [0, names.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (names[middle]! < name) from = middle + 1;
    else to = middle;
  }
  return from;
}

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const isFolder = (path: string): Promise<boolean> =>
  lstat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
