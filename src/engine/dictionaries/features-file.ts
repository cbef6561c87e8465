import { createHash } from "node:crypto";
import { access, open } from "node:fs/promises";
import { join } from "node:path";
import Database from "libsql";
import type { FeatureExample, FeatureLabel, FeatureRecord } from "../core/features.ts";
import { isObject } from "../core/json-object.ts";
import { FormatError } from "./formats/format-error.ts";

export const FEATURES_FILE = "features.db";

/** Of the tables below; another one is refused. */
const FORMAT = 1;

/**
 * Tables of a features file, written once by `pursuit stats` and `pursuit labels`.
 * meta: JSON texts by name. columns: arrays by name, little-endian. features: a record a feature, as {@link StoredRecord}.
 * texts: of the rows that records name. words: full-text index over a feature's texts, without the texts.
 */
export const FEATURES_SCHEMA = `
  create table meta (name text primary key, value text not null) without rowid;
  create table columns (name text primary key, data blob not null);
  create table features (id integer primary key, record text not null);
  create table texts (row integer primary key, text text not null);
  create table labels (feature integer not null, text text not null, source text not null, score real, author text);
  create index labels_by_feature on labels (feature);
  create virtual table words using fts5 (text, content='', tokenize='unicode61 remove_diacritics 2');
`;

/** A record as it is stored: short names, pairs as flat lists. */
export interface StoredRecord {
  readonly rows: number;
  readonly quantiles: Readonly<Record<string, number>>;
  readonly edges: readonly number[];
  readonly counts: readonly number[];
  /** row, value, row, value, … */
  readonly examples: readonly number[];
  readonly sample: readonly number[];
  /** feature, count, … */
  readonly with: readonly number[];
  /** class, distance, average precision, …; absent without classes */
  readonly classes?: readonly number[];
}

/** Arrays [m] of a features file. */
const FIGURES = ["rate", "mean", "max"] as const;
export type FigureName = (typeof FIGURES)[number];

/** Facts of a whole file. */
export interface FeaturesMeta {
  readonly format: number;
  /** Version of the dictionary that the file belongs to. */
  readonly sha256: string;
  readonly m: number;
  /** Reference rows; 0: the file has labels alone. */
  readonly rows: number;
  readonly classes?: readonly string[];
  /** What the codes of the rows were made by. */
  readonly budget?: unknown;
  readonly encoder?: unknown;
  /** Over the reference rows. */
  readonly figures?: ReferenceFigures;
}

/** The codes of the reference rows as a whole. Lists of `typical` are values at equal steps of the quantile, 0 to 1. */
export interface ReferenceFigures {
  readonly meanAtoms: number;
  /** Share of the rows' variance about their own mean; null where there is nothing to measure against. */
  readonly explainedVariance: number | null;
  readonly typical: {
    readonly atoms: readonly number[];
    /** Empty where there is nothing to measure against. */
    readonly relativeError: readonly number[];
    /** Mean −log rate of a row's atoms. */
    readonly surprise: readonly number[];
    /** ‖x‖; absent in older files. */
    readonly norm?: readonly number[];
  };
}

/** A features file, open for reading. Its reads are synchronous: each takes a fraction of a millisecond. */
export class FeaturesFile {
  readonly meta: FeaturesMeta;
  /** Digest of the whole file, hex. */
  readonly digest: string;
  readonly #db: Database.Database;
  readonly #figures: ReadonlyMap<FigureName, Float32Array>;

  private constructor(db: Database.Database, meta: FeaturesMeta, digest: string) {
    this.#db = db;
    this.meta = meta;
    this.digest = digest;
    this.#figures = new Map(
      FIGURES.flatMap((name): [FigureName, Float32Array][] => {
        const column = this.#column(name, meta.m);
        return column === null ? [] : [[name, column]];
      }),
    );
  }

  /**
   * Opens the features file of a dictionary folder; null if there is none.
   * @throws FormatError when it is not a features file of m features; the system's error when it cannot be read
   */
  static async open(folder: string, m: number): Promise<FeaturesFile | null> {
    const path = join(folder, FEATURES_FILE);
    const digest = await digestOf(path);
    if (digest === null) return null;
    let db: Database.Database | null = null;
    try {
      db = new Database(path, { readonly: true });
      return new FeaturesFile(db, metaOf(db, m), digest);
    } catch (error) {
      db?.close();
      if (error instanceof FormatError) throw error;
      throw new FormatError(FEATURES_FILE, `is not a features file: ${(error as Error).message}.`);
    }
  }

  /** A figure of a feature; undefined where the file has none of it. */
  figure(name: FigureName, index: number): number | undefined {
    const value = this.#figures.get(name)?.[index];
    return value === undefined || Number.isNaN(value) ? undefined : value;
  }

  /** Coordinates of all atoms [m, 2]; null if it has none. */
  map(): Float32Array | null {
    return this.#column("map", 2 * this.meta.m);
  }

  /** Statistics and examples of a feature; null if it has none. */
  record(index: number): FeatureRecord | null {
    const row = this.#rows("select record from features where id = ?", index)[0];
    if (row === undefined) return null;
    const stored = JSON.parse(row[0] as string) as StoredRecord;
    const { rows: all, classes } = this.meta;
    const rate = stored.rows / all;
    return {
      statistics: {
        rows: stored.rows,
        rate,
        mean: this.figure("mean", index) ?? 0,
        max: this.figure("max", index) ?? 0,
        quantiles: stored.quantiles,
        histogram: { edges: stored.edges, counts: stored.counts },
      },
      examples: this.#examplesOf(stored.examples),
      sample: this.#examplesOf(stored.sample),
      firesWith: inGroups(stored.with, 2).map(([other, count]) => ({
        index: other!,
        lift: significant(count! / all / (rate * (this.figure("rate", other!) ?? NaN))),
        count: count!,
      })),
      ...(stored.classes && {
        classes: inGroups(stored.classes, 3).map(([at, distance, precision]) => ({
          class: classes?.[at!] ?? String(at),
          distance: distance!,
          average_precision: precision!,
        })),
      }),
    };
  }

  /** Every label, by feature. */
  labels(): Map<number, FeatureLabel[]> {
    const labels = new Map<number, FeatureLabel[]>();
    for (const [feature, text, source, score, author] of this.#rows(
      "select feature, text, source, score, author from labels",
    )) {
      const label: FeatureLabel = {
        text: text as string,
        source: source as string,
        ...(score !== null && { score: score as number }),
        ...(author !== null && { author: author as string }),
      };
      const known = labels.get(feature as number);
      if (known === undefined) labels.set(feature as number, [label]);
      else known.push(label);
    }
    return labels;
  }

  /**
   * Features whose example texts hold any of the words, whole or begun: relevance by feature, the most relevant first.
   * @param most features at most
   */
  search(query: string, most: number): Map<number, number> {
    const words = query.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
    if (words.length === 0) return new Map();
    // Quoted, a word is never an operator of the query language.
    const match = words.map((word) => `"${word}"*`).join(" OR ");
    const found = this.#rows(
      "select rowid, bm25(words) from words where words match ? order by 2 limit ?",
      match,
      most,
    );
    return new Map(found.map(([feature, score]) => [feature as number, -(score as number)]));
  }

  /** Texts of reference rows, by row. */
  texts(): Map<number, string> {
    return new Map(this.#rows("select row, text from texts").map(([row, text]) => [row as number, text as string]));
  }

  /** Stored records by feature, as they are. */
  storedRecords(): Map<number, string> {
    return new Map(this.#rows("select id, record from features").map(([id, text]) => [id as number, text as string]));
  }

  close(): void {
    this.#db.close();
  }

  #examplesOf(pairs: readonly number[]): FeatureExample[] {
    return inGroups(pairs, 2).map(([row, value]) => {
      const text = this.#rows("select text from texts where row = ?", row!)[0]?.[0] as string | undefined;
      return { row: row!, value: value!, ...(text !== undefined && { text }) };
    });
  }

  #column(name: string, length: number): Float32Array | null {
    const data = this.#rows("select data from columns where name = ?", name)[0]?.[0] as Uint8Array | undefined;
    if (data === undefined) return null;
    if (data.byteLength !== 4 * length)
      throw new FormatError(FEATURES_FILE, `holds ${data.byteLength} bytes of ${name}; ${4 * length} are due.`);
    return new Float32Array(new Uint8Array(data).buffer);
  }

  /** Rows as lists of values. The statement is kept by the database's own cache. */
  #rows(sql: string, ...values: (string | number)[]): unknown[][] {
    return this.#db
      .prepare(sql)
      .raw(true)
      .all(...values) as unknown[][];
  }
}

function metaOf(db: Database.Database, m: number): FeaturesMeta {
  const texts = new Map(db.prepare("select name, value from meta").raw(true).all() as [string, string][]);
  const meta: unknown = JSON.parse(texts.get("features") ?? "null");
  if (!isObject(meta)) throw new FormatError(FEATURES_FILE, "does not say what it belongs to.");
  if (meta["format"] !== FORMAT)
    throw new FormatError(FEATURES_FILE, `is of format ${String(meta["format"])}; this server reads ${FORMAT}.`);
  if (meta["m"] !== m)
    throw new FormatError(FEATURES_FILE, `describes ${String(meta["m"])} features; the dictionary has ${m}.`);
  return meta as unknown as FeaturesMeta;
}

export const newMeta = (facts: Omit<FeaturesMeta, "format">): FeaturesMeta => ({ format: FORMAT, ...facts });

/** SHA-256 of a file, hex; null where there is none. */
async function digestOf(path: string): Promise<string | null> {
  const there = await access(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
  if (!there) return null;
  const hash = createHash("sha256");
  const file = await open(path);
  for await (const bytes of file.createReadStream()) hash.update(bytes as Buffer);
  return hash.digest("hex");
}

function inGroups(flat: readonly number[], size: number): number[][] {
  return Array.from({ length: Math.floor(flat.length / size) }, (_, i) => flat.slice(i * size, (i + 1) * size));
}

/** Four digits: more say nothing of a count of rows. */
export const significant = (value: number): number => Number(value.toPrecision(4));
