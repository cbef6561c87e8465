import { copyFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import Database from "libsql";
import type { FeatureLabel } from "../engine/core/features.ts";
import {
  FEATURES_FILE,
  FEATURES_SCHEMA,
  type FeaturesMeta,
  significant,
  type StoredRecord,
} from "../engine/dictionaries/features-file.ts";
import type { WordRates } from "./example-words.ts";
import { BINS, NO_ROW, STRATA } from "./feature-tally.ts";
import type { Gathered } from "./gather-statistics.ts";

/** Lengths of the lists of a record. */
export interface RecordLengths {
  readonly examples: number;
  readonly sample: number;
}

const FIRES_WITH = 10;
/** Rows in which two features must be active together to be called co-firing, so that chance makes no lift. */
const FEWEST_TOGETHER = 3;
const CLASSES = 8;
const QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.95] as const;
/** Bars of a histogram at most. */
const BARS = 32;

interface Built {
  readonly record: StoredRecord;
  /** Rows of the largest values that were kept, with their values. */
  readonly top: readonly (readonly [number, number])[];
}

/** Records of all features that were ever active, by feature. */
export function recordsOf({ tally, pairs, classes }: Gathered, lengths: RecordLengths): Map<number, Built> {
  const partners = partnersOf(tally.state.count, pairs);
  const records = new Map<number, Built>();
  for (let j = 0; j < tally.m; j++) {
    const rows = tally.state.count[j]!;
    if (rows === 0) continue;
    const bars = barsOf(tally, j);
    const top = topOf(tally, j);
    const separations = classes
      ?.separations(j, CLASSES)
      .map(({ class: own, distance, averagePrecision }) => [own, significant(distance), significant(averagePrecision)]);
    const examples = top.slice(0, lengths.examples);
    records.set(j, {
      record: {
        rows,
        quantiles: quantilesOf(bars, rows),
        ...joined(bars, rows),
        examples: examples.flat(),
        sample: sampleOf(tally, j, lengths.sample, new Set(examples.map(([row]) => row))).flat(),
        with: partners[j]!.flatMap(({ other, count }) => [other, count]),
        ...(separations && { classes: separations.flat() }),
      },
      top,
    });
  }
  return records;
}

/** Rows with their values, the largest first. */
function topOf({ top, state }: Gathered["tally"], j: number): [number, number][] {
  const pairs: [number, number][] = [];
  for (let at = j * top; at < (j + 1) * top && state.topRow[at] !== NO_ROW; at++)
    pairs.push([state.topRow[at]!, significant(state.topValue[at]!)]);
  return pairs;
}

/** Rows over the range of a feature's values, the largest first: one of each of some half octaves. */
function sampleOf({ state }: Gathered["tally"], j: number, most: number, without: Set<number>): [number, number][] {
  const found: [number, number][] = [];
  for (let stratum = STRATA - 1; stratum >= 0; stratum--) {
    const at = j * STRATA + stratum;
    const row = state.sampleRow[at]!;
    if (row !== NO_ROW && !without.has(row)) found.push([row, significant(state.sampleValue[at]!)]);
  }
  const count = Math.min(most, found.length);
  return Array.from({ length: count }, (_, i) => found[Math.floor((i * found.length) / count)]!);
}

interface Bar {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** Occupied bins by rising value. */
function barsOf(tally: Gathered["tally"], j: number): Bar[] {
  const { positive, negative, max, count } = tally.state;
  const bars: Bar[] = [];
  const add = (from: number, to: number, held: number): void => {
    if (held > 0 || (bars.length > 0 && from > bars[0]!.from)) bars.push({ from, to, count: held });
  };
  for (let bin = BINS - 1; bin >= 0; bin--) add(-tally.edgeOf(bin + 1), -tally.edgeOf(bin), negative[j * BINS + bin]!);
  for (let bin = 0; bin < BINS; bin++) add(tally.edgeOf(bin), tally.edgeOf(bin + 1), positive[j * BINS + bin]!);
  while (bars.at(-1)?.count === 0) bars.pop();
  // The largest magnitude is known exactly, and may lie beyond the last bin.
  const last = max[j]! > 0 ? bars.length - 1 : 0;
  const own = bars[last];
  if (own !== undefined && count[j]! > 0)
    bars[last] = max[j]! > 0 ? { ...own, to: max[j]! } : { ...own, from: max[j]! };
  return bars;
}

/** Values at some quantiles, as if values were spread evenly within a bin. */
function quantilesOf(bars: readonly Bar[], rows: number): Record<string, number> {
  const values: Record<string, number> = {};
  for (const quantile of QUANTILES) {
    let left = quantile * rows;
    for (const { from, to, count } of bars) {
      if (left <= count && count > 0) {
        values[quantile] = significant(from + (left / count) * (to - from));
        break;
      }
      left -= count;
    }
  }
  return values;
}

/** Bars joined in equal numbers until there are few enough. */
function joined(bars: readonly Bar[], rows: number): { edges: number[]; counts: number[] } {
  const size = Math.ceil(bars.length / BARS);
  const edges = rows === 0 ? [] : [significant(bars[0]!.from)];
  const counts: number[] = [];
  for (let from = 0; from < bars.length; from += size) {
    const part = bars.slice(from, from + size);
    edges.push(significant(part.at(-1)!.to));
    counts.push(part.reduce((sum, { count }) => sum + count, 0));
  }
  return { edges, counts };
}

interface Partner {
  readonly other: number;
  readonly count: number;
  readonly lift: number;
}

/** For each feature those of the largest lift among the ones it is often active with, the largest first. */
function partnersOf(active: Uint32Array, pairs: Gathered["pairs"]): Partner[][] {
  const partners: Partner[][] = Array.from(active, () => []);
  const offer = (own: number, other: number, count: number): void => {
    const list = partners[own]!;
    const lift = count / (active[own]! * active[other]!);
    if (list.length === FIRES_WITH && list.at(-1)!.lift >= lift) return;
    let at = list.length;
    while (at > 0 && list[at - 1]!.lift < lift) at--;
    list.splice(at, 0, { other, count, lift });
    if (list.length > FIRES_WITH) list.pop();
  };
  pairs.each((i, j, count) => {
    if (count < FEWEST_TOGETHER) return;
    offer(i, j, count);
    offer(j, i, count);
  });
  return partners;
}

export interface FeaturesContent {
  readonly meta: FeaturesMeta;
  /** Arrays by name: rate, mean, max [m], map [m, 2]. */
  readonly columns: Readonly<Record<string, Float32Array>>;
  readonly records: ReadonlyMap<number, StoredRecord>;
  /** Texts of the rows that records name. */
  readonly texts: ReadonlyMap<number, string>;
  readonly labels: ReadonlyMap<number, readonly FeatureLabel[]>;
}

/** Writes a features file under another name, then renames it: readers never see half of one. */
export async function writeFeatures(folder: string, content: FeaturesContent): Promise<void> {
  await replacing(folder, async (path) => {
    const db = new Database(path);
    try {
      db.exec("pragma journal_mode = off; pragma synchronous = off; pragma page_size = 4096");
      db.exec(FEATURES_SCHEMA);
      db.exec("begin");
      fill(db, content);
      db.exec("commit");
      db.exec("insert into words(words) values('optimize')");
      db.exec("vacuum");
    } finally {
      db.close();
    }
  });
}

/** Replaces the labels of some sources in a features file. */
export async function replaceLabels(
  folder: string,
  labels: ReadonlyMap<number, readonly FeatureLabel[]>,
  sources: readonly string[],
): Promise<void> {
  await replacing(folder, async (path) => {
    await copyFile(join(folder, FEATURES_FILE), path);
    const db = new Database(path);
    try {
      db.exec("pragma journal_mode = off; pragma synchronous = off");
      db.exec("begin");
      const forget = db.prepare("delete from labels where source = ?");
      for (const source of sources) forget.run(source);
      fillLabels(db, labels);
      db.exec("commit");
    } finally {
      db.close();
    }
  });
}

async function replacing(folder: string, write: (path: string) => Promise<void>): Promise<void> {
  const path = join(folder, `.${FEATURES_FILE}.${process.pid}`);
  try {
    await rm(path, { force: true });
    await write(path);
    await rename(path, join(folder, FEATURES_FILE));
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

function fill(db: Database.Database, { meta, columns, records, texts, labels }: FeaturesContent): void {
  db.prepare("insert into meta values (?, ?)").run("features", JSON.stringify(meta));
  const column = db.prepare("insert into columns values (?, ?)");
  for (const [name, data] of Object.entries(columns))
    column.run(name, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  const text = db.prepare("insert into texts values (?, ?)");
  for (const [row, words] of texts) text.run(row, words);
  const feature = db.prepare("insert into features values (?, ?)");
  const words = db.prepare("insert into words (rowid, text) values (?, ?)");
  for (const [index, record] of records) {
    feature.run(index, JSON.stringify(record));
    const rows = record.examples.filter((_, at) => at % 2 === 0);
    const own = rows.flatMap((row) => texts.get(row) ?? []);
    if (own.length > 0) words.run(index, own.join("\n"));
  }
  fillLabels(db, labels);
}

function fillLabels(db: Database.Database, labels: ReadonlyMap<number, readonly FeatureLabel[]>): void {
  const insert = db.prepare("insert into labels values (?, ?, ?, ?, ?)");
  for (const [feature, own] of labels)
    for (const { text, source, score, author } of own) insert.run(feature, text, source, score ?? null, author ?? null);
}

/** Descriptions of features by the words of their top texts, as labels of source `examples`. */
export function describeFeatures(
  tops: ReadonlyMap<number, Built["top"]>,
  texts: ReadonlyMap<number, string>,
  rates: WordRates,
): Map<number, FeatureLabel[]> {
  const labels = new Map<number, FeatureLabel[]>();
  for (const [feature, pairs] of tops) {
    const own = pairs.map(([row, value]) => ({ text: texts.get(row) ?? "", value }));
    const text = rates.describe(own);
    if (text !== null) labels.set(feature, [{ text, source: "examples" }]);
  }
  return labels;
}
