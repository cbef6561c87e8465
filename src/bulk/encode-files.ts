import { mkdir, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { EngineError } from "../engine/core/errors.ts";
import type { Rows } from "../engine/core/rows.ts";
import type { SparseCodes } from "../engine/core/sparse-codes.ts";
import { FormatError } from "../engine/dictionaries/formats/format-error.ts";
import { readJsonFile } from "../engine/dictionaries/formats/json-file.ts";
import type { FoundFile } from "./find-files.ts";
import { BlockMemory, openRowFile, type RowChoice, type RowFile } from "./row-file.ts";
import { readShardFacts, type ShardFormat, writeShard } from "./shard-file.ts";

/** A run of encode-files. */
export interface EncodeFiles {
  readonly files: readonly FoundFile[];
  /** Folder that the shards and the manifest go into. */
  readonly out: string;
  readonly choice: RowChoice;
  /** What makes the codes: dictionary, sha256, budget, encoder. Shards of other settings are refused. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly rowsPerShard: number;
  readonly format: ShardFormat;
  /** This process's part of the shards: those whose number is `index` modulo `count`. */
  readonly part: { readonly index: number; readonly count: number };
  readonly encode: (rows: Rows) => Promise<SparseCodes>;
  readonly onProgress: (progress: EncodeProgress) => void;
  /** Called once for each file that could not be encoded whole. */
  readonly onFailed: (failure: FailedFile) => void;
}

export interface EncodeProgress {
  /** Rows of this process's part, and those of them whose shards were there already. */
  readonly total: number;
  readonly resumed: number;
  /** Rows encoded in this run. */
  readonly rows: number;
  /** Their entries. */
  readonly entries: number;
  /** Shards of this part that are on disk. */
  readonly shards: number;
}

export interface FailedFile {
  readonly name: string;
  readonly reason: string;
}

export interface EncodeResult extends EncodeProgress {
  readonly failed: readonly FailedFile[];
}

/** Rows of one shard: [start, end) of a file. */
interface Unit {
  readonly start: number;
  readonly end: number;
  /** Below the folder of shards, with "/" between folders. */
  readonly file: string;
}

/** A file whose head was read, and this process's units of it. */
interface Source extends FoundFile {
  readonly width: number;
  readonly count: number;
  readonly size: number;
  readonly modified: number;
  readonly pending: readonly Unit[];
  /** Shards that were there already: their entries by file. */
  readonly done: ReadonlyMap<Unit, number>;
}

interface ShardLine {
  readonly file: string;
  readonly source: string;
  readonly start: number;
  readonly end: number;
  readonly entries: number;
}

const MANIFEST = "manifest.json";
const MAX_MANIFEST_BYTES = 1 << 20;

/** Bytes of rows in one call of the engine, and calls under way at once: the engine always has the next batch. */
const CALL_BYTES = 4 << 20;
const MAX_CALL_ROWS = 4096;
const CALLS = 4;

/**
 * Encodes files of rows into shards of codes. A shard stands under its name only once it is whole, so a run that was
 * killed goes on where it stopped, and no row is lost or written twice. A file that cannot be read, or holds a number
 * that is not finite, is reported and the others are done.
 * @throws Error when the folder holds shards of other settings, or the engine or the disk fails
 */
export async function encodeFiles(work: EncodeFiles): Promise<EncodeResult> {
  const { out, files, part, onProgress } = work;
  await claimFolder(work);
  const failed: FailedFile[] = [];
  const fail = (name: string, error: unknown): void => {
    const failure = { name, reason: reasonOf(error) };
    failed.push(failure);
    work.onFailed(failure);
  };
  const sources: Source[] = [];
  for (const [number, file] of files.entries()) {
    try {
      sources.push(await inspect(work, file, number));
    } catch (error) {
      if (!isOfFile(error)) throw error;
      fail(file.name, error);
    }
  }
  const lines: ShardLine[] = [];
  let resumed = 0;
  let total = 0;
  for (const { name, pending, done } of sources) {
    for (const [{ file, start, end }, entries] of done) {
      lines.push({ file, source: name, start, end, entries });
      resumed += end - start;
    }
    total += pending.reduce((sum, { start, end }) => sum + end - start, 0);
  }
  total += resumed;
  const progress = { total, resumed, rows: 0, entries: 0, shards: lines.length };
  onProgress(progress);
  for (const source of sources) {
    if (source.pending.length === 0) continue;
    try {
      await encodeFile(
        work,
        source,
        (count, entries) => {
          progress.rows += count;
          progress.entries += entries;
          onProgress(progress);
        },
        (line) => {
          lines.push(line);
          progress.shards++;
        },
      );
    } catch (error) {
      if (!isOfFile(error)) throw error;
      fail(source.name, error);
    }
  }
  lines.sort((a, b) => (a.source < b.source ? -1 : a.source > b.source ? 1 : a.start - b.start));
  const list = { settings: settingsOf(work), part, shards: lines, failed };
  await writeWhole(join(out, `shards-${part.index}-of-${part.count}.json`), `${JSON.stringify(list, null, 1)}\n`, part);
  return { ...progress, failed };
}

/** Faults of one file, beside which the other files can be encoded. */
const isOfFile = (error: unknown): boolean =>
  error instanceof FormatError ||
  error instanceof UnreadableRow ||
  ((error as NodeJS.ErrnoException).syscall !== undefined && !(error instanceof OutputError));

const reasonOf = (error: unknown): string => (error instanceof FormatError ? error.reason : (error as Error).message);

/** A row that the engine refuses. */
class UnreadableRow extends Error {}

/** A shard cannot be written: the other files' shards could not either. */
class OutputError extends Error {}

const settingsOf = ({ settings, choice, rowsPerShard, format }: EncodeFiles): Record<string, unknown> => {
  const { column = null, layer = null } = choice;
  return { ...settings, column, layer, rows_per_shard: rowsPerShard, format };
};

/** Writes the manifest, or checks that the one in the folder is of the same settings. @throws Error that names the others */
async function claimFolder(work: EncodeFiles): Promise<void> {
  const path = join(work.out, MANIFEST);
  const wanted = settingsOf(work);
  await mkdir(work.out, { recursive: true });
  const there = await stat(path).catch(() => null);
  if (there === null) await writeWhole(path, `${JSON.stringify(wanted, null, 1)}\n`, work.part);
  const { value } = await readJsonFile(path, MAX_MANIFEST_BYTES, path);
  const held = value as Record<string, unknown>;
  const names = [...new Set([...Object.keys(wanted), ...Object.keys(held)])];
  const others = names.filter((name) => JSON.stringify(held[name]) !== JSON.stringify(wanted[name]));
  if (others.length === 0) return;
  const shown = others.map(
    (name) => `${name} is ${JSON.stringify(held[name])} there and ${JSON.stringify(wanted[name])} here`,
  );
  throw new Error(
    `${work.out} holds shards of other settings: ${shown.join("; ")}. Choose another --out, or the same settings.`,
  );
}

/** Writes a text under another name first, so that the file is never torn. */
async function writeWhole(path: string, text: string, { index }: EncodeFiles["part"]): Promise<void> {
  const part = `${path}.${index}.part`;
  await writeFile(part, text);
  await rename(part, path);
}

/** Reads a file's head and finds which of this process's units are there already. */
async function inspect(work: EncodeFiles, found: FoundFile, number: number): Promise<Source> {
  const { size, mtimeMs } = await stat(found.path);
  const opened = await openRowFile(found.path, work.choice);
  await opened.close();
  const { count, width } = opened;
  const { rowsPerShard, part, format } = work;
  const pending: Unit[] = [];
  const done = new Map<Unit, number>();
  const source = { ...found, width, count, size, modified: Math.trunc(mtimeMs), pending, done };
  for (let start = 0, i = number; start < count; start += rowsPerShard, i++) {
    if (i % part.count !== part.index) continue;
    const file = `${found.name}.${String(start).padStart(12, "0")}.${format}`;
    const unit = { start, end: Math.min(start + rowsPerShard, count), file };
    const facts = await readShardFacts(join(work.out, file), format);
    if (facts === null) pending.push(unit);
    else {
      const wanted = factsOf(work, source, unit);
      const other = Object.keys(wanted).find((name) => facts[name] !== wanted[name]);
      if (other !== undefined) {
        throw new FormatError(
          found.path,
          `its shard ${file} was made with ${other} ${facts[other]}, which is ${wanted[other]} now. Remove the shard, or choose another --out.`,
        );
      }
      done.set(unit, Number(facts["entries"]));
    }
  }
  return source;
}

/** What a shard says of itself, and must say to count as done. */
function factsOf(work: EncodeFiles, { name, size, modified }: Source, { start, end }: Unit): Record<string, string> {
  return {
    settings: JSON.stringify(settingsOf(work)),
    source: name,
    source_bytes: String(size),
    source_modified: String(modified),
    start: String(start),
    end: String(end),
  };
}

/** Encodes the pending units of a file, several calls under way at once, and writes each unit's shard when it is full. */
async function encodeFile(
  work: EncodeFiles,
  source: Source,
  onRows: (count: number, entries: number) => void,
  onShard: (line: ShardLine) => void,
): Promise<void> {
  const file = await openRowFile(source.path, work.choice);
  const shard = new OpenShard(work, source, onShard);
  const calls: Promise<SparseCodes>[] = [];
  const memory = new BlockMemory(CALLS);
  const take = async (): Promise<void> => {
    const codes = await calls.shift()!;
    await shard.push(codes);
    onRows(codes.count, codes.indices.length);
  };
  try {
    if (file.count !== source.count || file.width !== source.width)
      throw new FormatError(source.path, "changed while it was encoded.");
    for await (const { rows, first } of callsOf(file, source.pending, memory)) {
      const call = encodeRows(work, rows, first);
      // Awaited in its turn.
      call.catch(() => {});
      calls.push(call);
      if (calls.length >= CALLS) await take();
    }
    while (calls.length > 0) await take();
    await shard.end();
  } finally {
    await Promise.allSettled(calls);
    await shard.settled();
    await file.close();
  }
}

/** The rows of units, cut at their ends, as the engine is called with them. */
async function* callsOf(file: RowFile, units: readonly Unit[], memory: BlockMemory) {
  const most = Math.max(1, Math.min(MAX_CALL_ROWS, Math.floor(CALL_BYTES / (file.width * 4))));
  for (let i = 0; i < units.length;) {
    // Units that follow one another are read at one go.
    let j = i + 1;
    while (j < units.length && units[j]!.start === units[j - 1]!.end) j++;
    let at = units[i]!.start;
    for await (const { data, count, width } of file.blocks(at, units[j - 1]!.end, most, memory)) {
      for (let from = 0; from < count;) {
        while (units[i]!.end <= at) i++;
        const length = Math.min(count - from, units[i]!.end - at);
        yield { rows: { data: data.subarray(from * width, (from + length) * width), count: length, width }, first: at };
        from += length;
        at += length;
      }
    }
    i = j;
  }
}

async function encodeRows({ encode }: EncodeFiles, rows: Rows, first: number): Promise<SparseCodes> {
  try {
    return await encode(rows);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    const bad = error.code === "PURSUIT_NOT_FINITE" ? rows.data.findIndex((value) => !Number.isFinite(value)) : -1;
    if (bad >= 0) {
      const row = first + Math.floor(bad / rows.width);
      throw new UnreadableRow(
        `row ${row}, column ${bad % rows.width} is ${rows.data[bad]}; every value must be a finite float32.`,
      );
    }
    if (error.code === "PURSUIT_RUNTIME_CRASHED") {
      throw new UnreadableRow(`rows ${first} to ${first + rows.count - 1}: ${error.message}`);
    }
    throw error;
  }
}

/** Collects the codes of a unit, and writes them while the next unit is encoded. */
class OpenShard {
  readonly #work: EncodeFiles;
  readonly #source: Source;
  readonly #onShard: (line: ShardLine) => void;
  readonly #units: Unit[];
  #parts: SparseCodes[] = [];
  #rows = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(work: EncodeFiles, source: Source, onShard: (line: ShardLine) => void) {
    this.#work = work;
    this.#source = source;
    this.#onShard = onShard;
    this.#units = [...source.pending];
  }

  async push(codes: SparseCodes): Promise<void> {
    this.#parts.push(codes);
    this.#rows += codes.count;
    const unit = this.#units[0]!;
    if (this.#rows < unit.end - unit.start) return;
    const parts = this.#parts;
    this.#units.shift();
    this.#parts = [];
    this.#rows = 0;
    // One at a time: the codes of two shards are held at most.
    await this.#writing;
    this.#writing = this.#write(unit, parts);
    this.#writing.catch(() => {});
  }

  async #write(unit: Unit, parts: readonly SparseCodes[]): Promise<void> {
    const { out, format } = this.#work;
    const entries = parts.reduce((sum, { indices }) => sum + indices.length, 0);
    const { width = 0 } = parts[0] ?? {};
    const facts = {
      ...factsOf(this.#work, this.#source, unit),
      entries: String(entries),
      shape: JSON.stringify([unit.end - unit.start, width]),
    };
    try {
      await writeShard(join(out, unit.file), format, parts, unit.start, facts);
    } catch (error) {
      throw new OutputError(`${join(out, unit.file)} could not be written: ${(error as Error).message}`, {
        cause: error,
      });
    }
    this.#onShard({ file: unit.file, source: this.#source.name, start: unit.start, end: unit.end, entries });
  }

  /** Waits until the last shard is on disk. @throws OutputError; FormatError where rows are missing */
  async end(): Promise<void> {
    await this.#writing;
    if (this.#units.length > 0) throw new FormatError(this.#source.path, `ends before row ${this.#units[0]!.end}.`);
  }

  async settled(): Promise<void> {
    await this.#writing.catch(() => {});
  }
}
