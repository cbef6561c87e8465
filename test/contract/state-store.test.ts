/** One contract of saved state over SQLite and a real PostgreSQL. */
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Kysely, sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Backend, postgresBackend, sqliteBackend, type Tables } from "../../src/engine/serving/state/database.ts";
import { type SetEntry, StateStore } from "../../src/engine/serving/state/state-store.ts";
import { MAX_SET_BYTES, setFileText, storedSet } from "../../src/engine/serving/steering/set-file.ts";
import { findPostgres, type Postgres, startPostgres } from "../support/postgres.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const SHA256 = "ab".repeat(32);
const SET = storedSet(SHA256, '[{"feature":1,"op":"add","value":0.1}]');
const SAVED = { set: SET, edits: 1 };
const LIMIT = 1 << 20;
const root = temporaryFolder();
const bin = findPostgres();
let postgres: Postgres;
let made = 0;

/** Edits of about so many bytes. */
const long = (bytes: number): typeof SAVED => {
  const numbers = Array(bytes >> 1)
    .fill("1")
    .join(",");
  return { set: storedSet(SHA256, `[{"op":"project_out","vector":[${numbers}]}]`), edits: 1 };
};

const BACKENDS: readonly [string, () => Backend][] = [
  ["SQLite", () => sqliteBackend(join(root, String(made), "deep", "state.db"))],
  ...(bin === null ? [] : [["PostgreSQL", () => postgresBackend(postgres.url)] satisfies [string, () => Backend]]),
];

beforeAll(async () => {
  if (bin !== null) postgres = await startPostgres(bin);
}, 60_000);
afterAll(() => postgres?.remove());

describe.each(BACKENDS)("state in %s", (kind, backendOf) => {
  const log: string[] = [];
  const open: StateStore[] = [];

  /** A store over the same database at each call; its dictionaries are named apart, since PostgreSQL keeps one database. */
  function storeOf(limit = 64 * LIMIT): StateStore {
    const files = join(root, String(made), "deep", "steering");
    const store = new StateStore(backendOf(), { limit, log: (_level, message) => log.push(message), files });
    open.push(store);
    return store;
  }
  const fresh = (): string => `${kind.toLowerCase()}-${++made}`;
  const names = async (store: StateStore, dictionary: string): Promise<readonly string[]> =>
    (await store.page(dictionary, "", 1000)).map(({ name }) => name);

  afterAll(() => Promise.all(open.map((store) => store.close())));

  it("has sets by name, in the order of their bytes, and has them again after it is opened anew", async () => {
    const one = fresh();
    const store = storeOf();
    for (const name of ["b", "B", "a.1", "a-1", "c"]) await store.change(one, name, () => SAVED);
    await store.change(one, "c", () => null);
    await store.change(one, "c", () => undefined);
    await store.close();
    for (const read of [store, storeOf()]) {
      expect([await names(read, one), await names(read, `${one}x`)]).toEqual([["B", "a-1", "a.1", "b"], []]);
      expect((await read.page(one, "B", 2)).map(({ name }) => name)).toEqual(["a-1", "a.1"]);
      expect([await read.read(one, "b"), await read.read(one, "c")]).toEqual([SET, undefined]);
      const entry = { sha256: SHA256, version: SET.version, edits: 1, bytes: SET.edits.length };
      expect([await read.entry(one, "b"), await read.entry(one, "c")]).toEqual([entry, undefined]);
    }
  });

  it("shows each change what the one before it left, and leaves all as it was where a change is refused", async () => {
    const one = fresh();
    const first = storeOf();
    // Replicas of one database. Two connections to one file of one process would block each other.
    const second = kind === "SQLite" ? first : storeOf();
    const seen: (number | undefined)[] = [];
    const grow = (store: StateStore): Promise<void> =>
      store.change(one, "a", (present: SetEntry | undefined) => {
        seen.push(present?.edits);
        return { set: SET, edits: (present?.edits ?? 0) + 1 };
      });
    await Promise.all(Array.from({ length: 20 }, (_, i) => grow(i % 2 === 0 ? first : second)));
    expect(seen).toEqual([undefined, ...Array.from({ length: 19 }, (_, i) => i + 1)]);
    const refused = new Error("refused");
    const refuse = first.change(one, "a", () => {
      throw refused;
    });
    await expect(refuse).rejects.toMatchObject({ cause: refused });
    expect((await second.entry(one, "a"))!.edits).toBe(20);
  });

  it("keeps everything within its limit, and takes a change that needs no more", async () => {
    const one = fresh();
    const roomy = storeOf();
    await roomy.change(one, "long", () => long(3 * 4096));
    // The least limit that holds what is there.
    const [used] = /\d+/.exec(
      await storeOf(1)
        .change(one, "other", () => SAVED)
        .then(
          () => "",
          (error: Error) => error.message,
        ),
    )!;
    const store = storeOf(Number(used) + 4096 + 300);
    await store.change(one, "a", () => SAVED);
    await expect(store.change(one, "b", () => SAVED)).rejects.toMatchObject({
      code: "PURSUIT_STATE_FULL",
      message: expect.stringMatching(/take \d+ of \d+ bytes allowed \(PURSUIT_STATE_LIMIT\); this one takes 4096 more/),
    });
    const label = { text: "x".repeat(40), sha256: SHA256, version: "v" };
    await store.changeLabel(one, 1, () => label);
    await expect(store.changeLabel(one, 2, () => label)).rejects.toMatchObject({ code: "PURSUIT_STATE_FULL" });
    await store.change(one, "long", () => long(2 * 4096 - 100));
    await store.change(one, "b", () => SAVED);
    await store.changeLabel(one, 1, () => null);
    expect(await names(store, one)).toEqual(["a", "b", "long"]);
    await expect(store.change(one, "c", () => long(MAX_SET_BYTES))).rejects.toMatchObject({
      code: "PURSUIT_INVALID_EDIT",
    });
  });

  it("has labels, and tells every change of them in order", async () => {
    const one = fresh();
    const store = storeOf();
    const label = (text: string) => ({ text, sha256: SHA256, version: `v-${text}` });
    await store.changeLabel(one, 7, () => label("first"));
    const { revision } = (await store.labelsSince(0)).at(-1)!;
    const seen: unknown[] = [];
    await store.changeLabel(one, 7, (present) => {
      seen.push(present);
      return label("bird · 鳥");
    });
    await store.changeLabel(one, 8, () => label("other"));
    await store.changeLabel(one, 8, () => null);
    expect(seen).toEqual([label("first")]);
    expect([await store.label(one, 7), await store.label(one, 8)]).toEqual([label("bird · 鳥"), undefined]);
    const changed = await storeOf().labelsSince(revision);
    expect(changed.map(({ feature, text }) => [feature, text])).toEqual([
      [7, "bird · 鳥"],
      [8, null],
    ]);
  });

  it("binds sets to another digest of their version", async () => {
    const one = fresh();
    const store = storeOf();
    await store.change(one, "a", () => SAVED);
    await store.change(one, "b", () => ({ set: storedSet("cd".repeat(32), "[]"), edits: 0 }));
    await store.rebind(one, SHA256, "ef".repeat(32));
    expect(await store.read(one, "a")).toEqual(storedSet("ef".repeat(32), SET.edits));
    expect((await store.entry(one, "b"))!.sha256).toBe("cd".repeat(32));
  });

  it("takes the files of earlier releases over once", async () => {
    const one = fresh();
    const files = join(root, String(made), "deep", "steering");
    mkdirSync(join(files, one), { recursive: true });
    writeFileSync(join(files, one, "old.json"), setFileText(SET));
    writeFileSync(join(files, one, "torn.json"), setFileText(SET).slice(0, -9));
    writeFileSync(join(files, one, ".partial-1"), "x");
    log.length = 0;
    const store = storeOf();
    await store.open();
    expect(log).toEqual([
      expect.stringMatching(/torn\.json is not a steering set \(it .*\); it is not taken over/),
      expect.stringMatching(/^1 steering sets of .* the files are in .*steering\.taken-over\.$/),
    ]);
    expect([await store.read(one, "old"), existsSync(files)]).toEqual([SET, false]);
    await store.change(one, "old", () => null);
    await store.close();
    expect(await names(storeOf(), one)).toEqual([]);
  });
});

it("keeps a SQLite file from other users, and says what is wrong where there can be none", async () => {
  const path = join(root, "alone", "state.db");
  const store = new StateStore(sqliteBackend(path), { limit: LIMIT, log: () => {}, files: join(root, "none") });
  await store.change("one", "a", () => SAVED);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  await store.close();
  writeFileSync(join(root, "file"), "");
  const log: string[] = [];
  const options = { limit: LIMIT, log: (_: string, message: string) => log.push(message), files: join(root, "none") };
  const broken = new StateStore(sqliteBackend(join(root, "file", "state.db")), options);
  await broken.open();
  await expect(broken.read("one", "a")).rejects.toMatchObject({ code: "PURSUIT_STATE_FAILED" });
  expect(log[0]).toMatch(/^Steering sets and labels cannot be read or saved: .*state\.db: (ENOTDIR|EEXIST)/);
});

/** The backend over a disk that holds nothing more until `free` is called. */
const fullDisks: Record<string, () => Promise<{ backend: Backend; free: () => Promise<void> }>> = {
  async SQLite() {
    const backend = sqliteBackend(join(root, "full", "state.db"));
    let db: Kysely<Tables>;
    const pages = (count: number) => sql`pragma max_page_count = ${sql.lit(count)}`.execute(db);
    // SQLite makes the limit the present size at least.
    const open = async () => {
      db = await backend.open();
      await pages(1);
      return db;
    };
    return { backend: { ...backend, open }, free: async () => void (await pages(1000)) };
  },
  async PostgreSQL() {
    const backend = postgresBackend(postgres.url);
    const db = await backend.open();
    await sql`create function refuse() returns trigger language plpgsql as
      'begin raise exception ''could not extend file'' using errcode = ''disk_full''; end'`.execute(db);
    await sql`create trigger full_disk before insert on steering_sets execute function refuse()`.execute(db);
    const free = async () => {
      await sql`drop trigger full_disk on steering_sets`.execute(db);
      await db.destroy();
    };
    return { backend, free };
  },
};

describe.each(BACKENDS)("a full disk of %s", (kind) => {
  it("refuses what would be saved, reads on, and says both its start and its end once", async () => {
    const { backend, free } = await fullDisks[kind]!();
    const log: string[] = [];
    const options = { limit: 64 * LIMIT, log: (_: string, line: string) => log.push(line), files: join(root, "none") };
    const store = new StateStore(backend, options);
    const failed = { code: "PURSUIT_STATE_DISK_FULL", message: expect.stringMatching(/^Nothing was saved: .*full/) };
    for (let i = 0; i < 5; i++) {
      await expect(store.change("full", `a${i}`, () => long(60_000))).rejects.toMatchObject(failed);
      expect(await store.read("full", "a0")).toBeUndefined();
    }
    expect(log).toEqual([expect.stringMatching(/^Steering sets and labels cannot be saved: /)]);
    await free();
    await store.change("full", "a", () => long(60_000));
    expect(await store.read("full", "a")).toBeDefined();
    expect(log.slice(1)).toEqual([expect.stringMatching(/can be read and saved again: .*; failures: 5\.$/)]);
    await store.close();
  });
});

it.skipIf(bin === null)("refuses while PostgreSQL is lost, and goes on once it is back", async () => {
  const log: string[] = [];
  const store = new StateStore(postgresBackend(postgres.url), {
    limit: LIMIT * 64,
    log: (_level, message) => log.push(message),
    files: join(root, "none"),
  });
  await store.change("lost", "a", () => SAVED);
  await postgres.kill();
  const failed = { code: "PURSUIT_STATE_UNAVAILABLE", retryAfter: 5 };
  await expect(store.read("lost", "a")).rejects.toMatchObject(failed);
  await expect(store.change("lost", "b", () => SAVED)).rejects.toMatchObject(failed);
  const late = new StateStore(postgresBackend(postgres.url), {
    limit: LIMIT * 64,
    log: () => {},
    files: join(root, "none"),
  });
  await late.open();
  await postgres.start();
  for (const one of [store, late]) {
    expect(await one.read("lost", "a")).toEqual(SET);
    await one.close();
  }
  expect(log).toEqual([
    expect.stringMatching(/^Steering sets and labels cannot be read or saved: PostgreSQL at /),
    expect.stringMatching(/can be read and saved again: .*; failures: 2\.$/),
  ]);
});
