import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import {
  type ColumnDataType,
  type Dialect,
  Kysely,
  type Migration,
  Migrator,
  PostgresDialect,
  sql,
  SqliteDialect,
  type Transaction,
} from "kysely";

/** What people write while the server runs. */
export interface Tables {
  readonly steering_sets: {
    readonly dictionary: string;
    readonly name: string;
    /** Version of the dictionary that it was made for. */
    readonly sha256: string;
    /** Changes with everything that the set says. */
    readonly version: string;
    /** JSON. */
    readonly edits: string;
    readonly edit_count: number;
    readonly bytes: number;
    /** Bytes of the limit that it takes. */
    readonly cost: number;
  };
  readonly feature_labels: {
    readonly dictionary: string;
    readonly feature: number;
    /** null: it was deleted, and other replicas have to see that. */
    readonly text: string | null;
    readonly sha256: string;
    readonly version: string;
    /** Ascends with every change of any label. */
    readonly revision: number;
    readonly cost: number;
  };
}

export type Queries = Kysely<Tables> | Transaction<Tables>;

/** A database of state. Both kinds have the same tables. */
export interface Backend {
  /** For messages. It holds no password. */
  readonly place: string;
  /** Whether other servers may write to it, too. */
  readonly shared: boolean;
  /** Connects, and brings the tables to the present form. */
  open(): Promise<Kysely<Tables>>;
  /** Runs `work` as one transaction, one at a time of all servers. */
  alone<T>(db: Kysely<Tables>, work: (queries: Queries) => Promise<T>): Promise<T>;
}

/** A type that sorts by bytes in both databases. */
type NameType = ColumnDataType | ReturnType<typeof sql>;

/** Every form of the tables, the first one first. A form that was released is never changed: add another. */
const migrations = (name: NameType): Record<string, Migration> => ({
  "1-sets-and-labels": {
    async up(db) {
      await db.schema
        .createTable("steering_sets")
        .addColumn("dictionary", name as ColumnDataType, (column) => column.notNull())
        .addColumn("name", name as ColumnDataType, (column) => column.notNull())
        .addColumn("sha256", "text", (column) => column.notNull())
        .addColumn("version", "text", (column) => column.notNull())
        .addColumn("edits", "text", (column) => column.notNull())
        .addColumn("edit_count", "integer", (column) => column.notNull())
        .addColumn("bytes", "integer", (column) => column.notNull())
        .addColumn("cost", "integer", (column) => column.notNull())
        .addPrimaryKeyConstraint("steering_sets_key", ["dictionary", "name"])
        .execute();
      await db.schema
        .createTable("feature_labels")
        .addColumn("dictionary", name as ColumnDataType, (column) => column.notNull())
        .addColumn("feature", "integer", (column) => column.notNull())
        .addColumn("text", "text")
        .addColumn("sha256", "text", (column) => column.notNull())
        .addColumn("version", "text", (column) => column.notNull())
        .addColumn("revision", "integer", (column) => column.notNull())
        .addColumn("cost", "integer", (column) => column.notNull())
        .addPrimaryKeyConstraint("feature_labels_key", ["dictionary", "feature"])
        .execute();
      await db.schema.createIndex("feature_labels_revision").on("feature_labels").column("revision").execute();
    },
  },
});

async function connect(dialect: Dialect, name: NameType): Promise<Kysely<Tables>> {
  const db = new Kysely<Tables>({ dialect });
  try {
    const { error } = await new Migrator({
      db,
      provider: { getMigrations: () => Promise.resolve(migrations(name)) },
    }).migrateToLatest();
    if (error !== undefined) throw error instanceof Error ? error : new Error(JSON.stringify(error));
    return db;
  } catch (error) {
    await db.destroy();
    throw error;
  }
}

/** A file of one server. It is written durably: what is acknowledged outlasts kill -9 and a loss of power. */
export function sqliteBackend(path: string): Backend {
  return {
    place: path,
    shared: false,
    async open() {
      // Drivers are loaded here: few processes need one, and none needs both.
      const { default: Sqlite } = await import("libsql");
      mkdirSync(dirname(path), { recursive: true });
      // Labels and edits are for the server's own user.
      closeSync(openSync(path, "a", 0o600));
      const file = new Sqlite(path, { timeout: 1000 });
      file.pragma("journal_mode = WAL");
      file.pragma("synchronous = FULL");
      return connect(new SqliteDialect({ database: file }), "text");
    },
    alone: (db, work) =>
      db.connection().execute(async (connection) => {
        // A deferred transaction would fail where another process has written since its first read.
        await sql`begin immediate`.execute(connection);
        try {
          const result = await work(connection);
          await sql`commit`.execute(connection);
          return result;
        } catch (error) {
          await sql`rollback`.execute(connection).catch(() => {});
          throw error;
        }
      }),
  };
}

/** Codes of SQLite, PostgreSQL and the system. */
const FULL_DISK: ReadonlySet<unknown> = new Set(["SQLITE_FULL", "53100", "ENOSPC", "EDQUOT"]);

/** Whether a failure of a database means that its disk is full. */
export const isFullDisk = (error: unknown): boolean =>
  error instanceof Error && "code" in error && FULL_DISK.has(error.code);

/** Milliseconds until a lost database is noticed. */
const CONNECT_MS = 3_000;
const QUERY_MS = 10_000;

/** Key of the lock that writers of state take in turn. */
const WRITERS = 0x70757273;

/** Replicas share it: each change is made by one of them at a time, over the same rows. */
export function postgresBackend(url: string): Backend {
  const { host, pathname } = new URL(url);
  return {
    place: `PostgreSQL at ${host}${pathname}`,
    shared: true,
    async open() {
      const { default: pg } = await import("pg");
      const pool = new pg.Pool({
        connectionString: url,
        max: 4,
        connectionTimeoutMillis: CONNECT_MS,
        query_timeout: QUERY_MS,
        statement_timeout: QUERY_MS,
        keepAlive: true,
        application_name: "pursuit",
      });
      // A connection that breaks while it is idle: the next request makes another.
      pool.on("error", () => {});
      return connect(new PostgresDialect({ pool }), sql`text collate "C"`);
    },
    alone: (db, work) =>
      db.transaction().execute(async (transaction) => {
        await sql`select pg_advisory_xact_lock(${WRITERS})`.execute(transaction);
        return work(transaction);
      }),
  };
}
