import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { deserialize, serialize } from "node:v8";
import { isSystemError } from "../engine/core/errors.ts";
import type { Rows } from "../engine/core/rows.ts";
import type { SparseCodes } from "../engine/core/sparse-codes.ts";
import { ClassCounts, type ClassState } from "./class-counts.ts";
import { FeatureTally, type TallyState } from "./feature-tally.ts";
import type { FoundFile } from "./find-files.ts";
import { PairCounts, type PairState } from "./pair-counts.ts";
import { ReferenceRows, type ReferenceState } from "./reference-rows.ts";
import { BlockMemory, openRowFile, type RowChoice, type RowFile } from "./row-file.ts";

export interface GatherWork {
  readonly files: readonly FoundFile[];
  readonly choice: RowChoice & { readonly width: number };
  readonly m: number;
  /** Largest values kept of a feature. */
  readonly top: number;
  /** Class of each row; absent: none. */
  readonly classes?: { readonly names: readonly string[]; readonly classOf: Uint32Array };
  readonly encode: (rows: Rows) => Promise<SparseCodes>;
  /** File that a run which ends early leaves behind, and what must be the same for another to go on from it. */
  readonly checkpoint: { readonly path: string; readonly key: string };
  readonly onProgress: (done: number, total: number) => void;
  /** Milliseconds between two checkpoints. */
  readonly every?: number;
}

export interface Gathered {
  readonly rows: number;
  readonly tally: FeatureTally;
  readonly pairs: PairCounts;
  readonly classes: ClassCounts | null;
  readonly reference: ReferenceRows;
}

interface Checkpoint {
  readonly key: string;
  readonly done: number;
  readonly tally: TallyState;
  readonly pairs: PairState;
  readonly classes: ClassState | null;
  readonly reference: ReferenceState;
}

/** Rows of one call, and calls under way at once: the engine always has the next batch. */
const CALL_ROWS = 2048;
const CALLS = 3;

const EVERY_MS = 30_000;

/**
 * Encodes files of rows and counts what each feature does, in memory that does not depend on the number of rows. A run that
 * was killed goes on from its last checkpoint; the result is the same.
 * @throws FormatError of a file; EngineError of its rows, with the file; Error when there are not as many classes as rows
 */
export async function gatherStatistics(work: GatherWork): Promise<Gathered> {
  const { files, choice, m, top, classes, checkpoint, onProgress, every = EVERY_MS } = work;
  const sources: { readonly file: RowFile; readonly name: string; readonly first: number }[] = [];
  try {
    let total = 0;
    for (const { path, name } of files) {
      const file = await openRowFile(path, choice);
      sources.push({ file, name, first: total });
      total += file.count;
    }
    if (classes !== undefined && classes.classOf.length !== total)
      throw new Error(`--classes holds ${classes.classOf.length} lines, --rows ${total} rows; give a class a row.`);
    const before = await readCheckpoint(checkpoint.path, checkpoint.key);
    const tally = new FeatureTally(m, top, before?.tally);
    const pairs = new PairCounts(m, before?.pairs);
    const counts =
      classes === undefined ? null : new ClassCounts(m, classes.names.length, before?.classes ?? undefined);
    const reference = new ReferenceRows(choice.width, before?.reference);
    let done = before?.done ?? 0;
    let saved = performance.now();
    onProgress(done, total);

    const memory = new BlockMemory(CALLS);
    const pending: { readonly rows: Rows; readonly first: number; readonly codes: Promise<SparseCodes> }[] = [];
    const takeOldest = async (): Promise<void> => {
      const { rows, first, codes: promised } = pending.shift()!;
      const codes = await promised;
      tally.add(codes, first);
      pairs.add(codes);
      counts?.add(tally, codes, classes!.classOf.subarray(first, first + codes.count));
      reference.add(rows, codes, first);
      done = first + rows.count;
      onProgress(done, total);
      if (performance.now() - saved < every) return;
      const state = {
        tally: tally.state,
        pairs: pairs.state,
        classes: counts?.state ?? null,
        reference: reference.state,
      };
      await writeCheckpoint(checkpoint.path, { key: checkpoint.key, done, ...state });
      saved = performance.now();
    };
    for (const { file, name, first } of sources) {
      const from = Math.max(0, done - first);
      if (from >= file.count) continue;
      let at = first + from;
      for await (const rows of file.blocks(from, file.count, CALL_ROWS, memory)) {
        const codes = work.encode(rows).catch((error: unknown) => {
          throw new Error(`${name}, rows ${at - first} and on: ${(error as Error).message}`, { cause: error });
        });
        // Awaited below in order; until then its failure is nobody's.
        codes.catch(() => {});
        pending.push({ rows, first: at, codes });
        at += rows.count;
        if (pending.length === CALLS) await takeOldest();
      }
      while (pending.length > 0) await takeOldest();
    }
    return { rows: total, tally, pairs, classes: counts, reference };
  } finally {
    for (const { file } of sources) await file.close();
  }
}

async function readCheckpoint(path: string, key: string): Promise<Checkpoint | null> {
  try {
    const checkpoint = deserialize(await readFile(path)) as Checkpoint;
    return checkpoint.key === key ? checkpoint : null;
  } catch {
    // None, or one that was torn: the run starts anew.
    return null;
  }
}

async function writeCheckpoint(path: string, checkpoint: Checkpoint): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.${process.pid}`, serialize(checkpoint));
    await rename(`${path}.${process.pid}`, path);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    // A disk that is full for the checkpoint may have room for the result.
    await rm(`${path}.${process.pid}`, { force: true });
  }
}
