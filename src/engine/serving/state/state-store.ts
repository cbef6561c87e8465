import type { Kysely } from "kysely";
import { invalidEdit } from "../../core/edits.ts";
import { EngineError } from "../../core/errors.ts";
import { editsOf, MAX_SET_BYTES, storedSet, type StoredSet } from "../steering/set-file.ts";
import { type Backend, isFullDisk, type Queries, type Tables } from "./database.ts";
import { faultOf, OutageLog } from "./outage-log.ts";
import { readSteeringFiles, setFilesAside, type StoreLog } from "./steering-files.ts";

/** No set counts for less than a page. */
const PAGE = 4096;

/** Bytes that a label takes beside its text. */
const LABEL_COST = 256;

/** A set without its edits. */
export interface SetEntry {
  /** Version of the dictionary that it was made for. */
  readonly sha256: string;
  readonly version: string;
  /** How many. */
  readonly edits: number;
  /** Of its edits. */
  readonly bytes: number;
}

/** A person's label of a feature. */
export interface StoredLabel {
  readonly text: string;
  /** Version of the dictionary that it was written for. */
  readonly sha256: string;
  readonly version: string;
}

export interface StateOptions {
  /** Bytes of everything together. */
  readonly limit: number;
  readonly log: StoreLog;
  /** Folder of the steering files of earlier releases, which are taken over once. */
  readonly files: string;
}

/**
 * Steering sets and people's labels, in a database. A change is made in a transaction that excludes every other one, of
 * this server and its replicas, and resolves once it would outlast a crash. A database that cannot be reached fails the
 * call, and the next one tries again.
 */
export class StateStore {
  readonly #backend: Backend;
  readonly #options: StateOptions;
  readonly #outage: OutageLog;
  #opening: Promise<Kysely<Tables>> | null = null;

  constructor(backend: Backend, options: StateOptions) {
    this.#backend = backend;
    this.#options = options;
    this.#outage = new OutageLog(backend.place, options.log);
  }

  /** Whether other servers may change what is stored. */
  get shared(): boolean {
    return this.#backend.shared;
  }

  /** Opens the database. Never rejects: without it everything else is served, and each call tries again. */
  async open(): Promise<void> {
    try {
      await this.#db();
    } catch (error) {
      this.#outage.failed(error, false);
    }
  }

  async close(): Promise<void> {
    const opening = this.#opening;
    this.#opening = null;
    await (await opening?.catch(() => null))?.destroy();
  }

  /** @throws EngineError as {@link StateStore.change} */
  async entry(dictionary: string, name: string): Promise<SetEntry | undefined> {
    return this.#run("read", async (db) => entryOf(db, dictionary, name));
  }

  /** Sets of a dictionary in ascending order of names, from the one after `after` on, at most `limit`. */
  async page(
    dictionary: string,
    after: string,
    limit: number,
  ): Promise<readonly (SetEntry & { readonly name: string })[]> {
    return this.#run("read", (db) =>
      db
        .selectFrom("steering_sets")
        .select(["name", "sha256", "version", "edit_count as edits", "bytes"])
        .where("dictionary", "=", dictionary)
        .where("name", ">", after)
        .orderBy("name")
        .limit(limit)
        .execute(),
    );
  }

  /** A set with its edits; undefined where there is none. */
  async read(dictionary: string, name: string): Promise<StoredSet | undefined> {
    return this.#run("read", (db) =>
      db
        .selectFrom("steering_sets")
        .select(["sha256", "edits", "version"])
        .where("dictionary", "=", dictionary)
        .where("name", "=", name)
        .executeTakeFirst(),
    );
  }

  /**
   * Puts what `change` makes of the set that is there; null deletes it, undefined leaves it.
   * @throws EngineError PURSUIT_STATE_FULL, PURSUIT_STATE_DISK_FULL, PURSUIT_STATE_FAILED, PURSUIT_STATE_UNAVAILABLE; and whatever `change` throws
   */
  async change(
    dictionary: string,
    name: string,
    change: (present: SetEntry | undefined) => { readonly set: StoredSet; readonly edits: number } | null | undefined,
  ): Promise<void> {
    await this.#run("save", (db) =>
      this.#backend.alone(db, async (queries) => {
        const changed = change(await entryOf(queries, dictionary, name));
        if (changed === undefined) return;
        if (changed === null) await deleteSet(queries, dictionary, name);
        else await this.#putSet(queries, dictionary, name, changed);
      }),
    );
  }

  /** A label; undefined where there is none. */
  async label(dictionary: string, feature: number): Promise<StoredLabel | undefined> {
    return this.#run("read", (db) => labelOf(db, dictionary, feature));
  }

  /**
   * Puts what `change` makes of the label that is there; null deletes it.
   * @throws EngineError as {@link StateStore.change}
   */
  async changeLabel(
    dictionary: string,
    feature: number,
    change: (present: StoredLabel | undefined) => StoredLabel | null,
  ): Promise<void> {
    await this.#run("save", (db) =>
      this.#backend.alone(db, async (queries) => {
        const present = await labelOf(queries, dictionary, feature);
        const changed = change(present);
        const cost = changed === null ? 0 : labelCost(changed);
        await this.#checkRoom(queries, cost - (present === undefined ? 0 : labelCost(present)));
        const { last } = await queries
          .selectFrom("feature_labels")
          .select(({ fn }) => fn.max("revision").as("last"))
          .executeTakeFirstOrThrow();
        const { text, sha256, version } = changed ?? { text: null, sha256: "", version: "" };
        const values = { text, sha256, version, revision: (last ?? 0) + 1, cost };
        await queries
          .insertInto("feature_labels")
          .values({ dictionary, feature, ...values })
          .onConflict((conflict) => conflict.columns(["dictionary", "feature"]).doUpdateSet(values))
          .execute();
      }),
    );
  }

  /** Labels that changed after a revision, in the order of their changes. A text of null: it was deleted. */
  async labelsSince(
    revision: number,
  ): Promise<readonly Pick<Tables["feature_labels"], "dictionary" | "feature" | "text" | "sha256" | "revision">[]> {
    return this.#run("read", (db) =>
      db
        .selectFrom("feature_labels")
        .select(["dictionary", "feature", "text", "sha256", "revision"])
        .where("revision", ">", revision)
        .orderBy("revision")
        .execute(),
    );
  }

  /** Binds the sets of one digest to another. Never rejects: a set that cannot be written stays as it was, with a log line. */
  async rebind(dictionary: string, from: string, to: string): Promise<void> {
    try {
      await this.#run("save", (db) =>
        this.#backend.alone(db, async (queries) => {
          const sets = queries.selectFrom("steering_sets").select(["name", "edits", "edit_count"]);
          for (const { name, edits, edit_count: count } of await sets
            .where("dictionary", "=", dictionary)
            .where("sha256", "=", from)
            .execute()) {
            await this.#putSet(queries, dictionary, name, { set: storedSet(to, edits), edits: count });
            const message = `The steering set ${name} of ${dictionary} is now bound to the sha256 of its version.`;
            this.#options.log("info", message, { dictionary });
          }
        }),
      );
    } catch (error) {
      this.#options.log("error", `Steering sets of ${dictionary} could not be checked: ${faultOf(error)}`, {
        dictionary,
      });
    }
  }

  async #putSet(
    queries: Queries,
    dictionary: string,
    name: string,
    { set, edits: count }: { readonly set: StoredSet; readonly edits: number },
  ): Promise<void> {
    const { sha256, version, edits } = set;
    const bytes = Buffer.byteLength(edits);
    if (bytes > MAX_SET_BYTES) {
      throw invalidEdit(`The edits take ${bytes} bytes; a steering set takes at most ${MAX_SET_BYTES}.`);
    }
    const cost = costOf(bytes);
    const present = await queries
      .selectFrom("steering_sets")
      .select("cost")
      .where("dictionary", "=", dictionary)
      .where("name", "=", name)
      .executeTakeFirst();
    await this.#checkRoom(queries, cost - (present?.cost ?? 0));
    const values = { sha256, version, edits, edit_count: count, bytes, cost };
    await queries
      .insertInto("steering_sets")
      .values({ dictionary, name, ...values })
      .onConflict((conflict) => conflict.columns(["dictionary", "name"]).doUpdateSet(values))
      .execute();
  }

  /** @throws EngineError PURSUIT_STATE_FULL */
  async #checkRoom(queries: Queries, more: number): Promise<void> {
    if (more <= 0) return;
    const { limit } = this.#options;
    const used = await usedBytes(queries);
    if (used + more <= limit) return;
    const message = `${usage(used, limit)}; this one takes ${more} more. Delete some, or raise the limit.`;
    throw new EngineError("PURSUIT_STATE_FULL", message);
  }

  /** Runs queries, with failures of the database as errors of the engine. */
  async #run<T>(what: "read" | "save", work: (db: Kysely<Tables>) => Promise<T>): Promise<T> {
    try {
      const result = await work(await this.#db());
      this.#outage.succeeded(what);
      return result;
    } catch (error) {
      if (error instanceof EngineError) {
        this.#outage.succeeded("read");
        throw error;
      }
      const full = isFullDisk(error);
      this.#outage.failed(error, full);
      const failed = what === "read" ? "Nothing could be read" : "Nothing was saved";
      if (full) {
        const message = `${failed}: the disk of saved state is full. Free some of it, and send the request again.`;
        throw new EngineError("PURSUIT_STATE_DISK_FULL", message, { cause: error });
      }
      throw this.#backend.shared
        ? new EngineError("PURSUIT_STATE_UNAVAILABLE", `${failed}: the database of saved state does not answer.`, {
            cause: error,
            retryAfter: 5,
          })
        : new EngineError("PURSUIT_STATE_FAILED", `${failed}: the state folder cannot be read or written.`, {
            cause: error,
          });
    }
  }

  #db(): Promise<Kysely<Tables>> {
    if (this.#opening === null) {
      const opening = this.#backend.open().then(async (db) => {
        await this.#takeOverFiles(db);
        return db;
      });
      this.#opening = opening;
      opening.catch(() => {
        if (this.#opening === opening) this.#opening = null;
      });
    }
    return this.#opening;
  }

  /** Takes the steering files of earlier releases over. A set that the database has already stays as it is. */
  async #takeOverFiles(db: Kysely<Tables>): Promise<void> {
    const { files, limit, log } = this.#options;
    const found = await readSteeringFiles(files, log);
    if (found === null) return;
    const used = await this.#backend.alone(db, async (queries) => {
      for (const { dictionary, name, set } of found) {
        const bytes = Buffer.byteLength(set.edits);
        const edits = { edits: set.edits, edit_count: editsOf(set).length, bytes, cost: costOf(bytes) };
        await queries
          .insertInto("steering_sets")
          .values({ dictionary, name, sha256: set.sha256, version: set.version, ...edits })
          .onConflict((conflict) => conflict.doNothing())
          .execute();
      }
      return usedBytes(queries);
    });
    const aside = await setFilesAside(files);
    log(
      "info",
      `${found.length} steering sets of ${files} are in ${this.#backend.place} now; the files are in ${aside}.`,
      {},
    );
    if (used > limit)
      log("warn", `${usage(used, limit)}; sets can be deleted, and none saved until there is room.`, {});
  }
}

async function entryOf(queries: Queries, dictionary: string, name: string): Promise<SetEntry | undefined> {
  return queries
    .selectFrom("steering_sets")
    .select(["sha256", "version", "edit_count as edits", "bytes"])
    .where("dictionary", "=", dictionary)
    .where("name", "=", name)
    .executeTakeFirst();
}

async function deleteSet(queries: Queries, dictionary: string, name: string): Promise<void> {
  await queries.deleteFrom("steering_sets").where("dictionary", "=", dictionary).where("name", "=", name).execute();
}

async function labelOf(queries: Queries, dictionary: string, feature: number): Promise<StoredLabel | undefined> {
  const row = await queries
    .selectFrom("feature_labels")
    .select(["text", "sha256", "version"])
    .where("dictionary", "=", dictionary)
    .where("feature", "=", feature)
    .executeTakeFirst();
  return row === undefined || row.text === null ? undefined : { ...row, text: row.text };
}

/** Bytes of the limit that are taken. A database gives sums as text. */
async function usedBytes(queries: Queries): Promise<number> {
  const sets = await queries
    .selectFrom("steering_sets")
    .select(({ fn }) => fn.sum("cost").as("sum"))
    .executeTakeFirstOrThrow();
  const labels = await queries
    .selectFrom("feature_labels")
    .select(({ fn }) => fn.sum("cost").as("sum"))
    .executeTakeFirstOrThrow();
  return Number(sets.sum ?? 0) + Number(labels.sum ?? 0);
}

const usage = (used: number, limit: number): string =>
  `Saved steering sets and labels take ${used} of ${limit} bytes allowed (PURSUIT_STATE_LIMIT)`;

const costOf = (bytes: number): number => Math.ceil(bytes / PAGE) * PAGE;
const labelCost = ({ text }: StoredLabel): number => LABEL_COST + Buffer.byteLength(text);
