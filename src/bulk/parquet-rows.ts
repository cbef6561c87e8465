import { tableFromIPC } from "apache-arrow";
import type { ParquetFile, RecordBatch } from "parquet-wasm";
import type { Rows } from "../engine/core/rows.ts";
import { FormatError } from "../engine/dictionaries/formats/format-error.ts";
import { type ArrowSource, blocksOf, chooseColumn, readSegments, rowsOf } from "./arrow-rows.ts";
import { attempt, openParquet } from "./parquet-file.ts";
import type { BlockRange, RowChoice, RowFile } from "./row-file.ts";

/** Numbers that are decoded at once: 16 MiB of float32. */
const BATCH_NUMBERS = 4 << 20;

/** Stored bytes of the column in one row group, which the library holds whole. */
const MAX_GROUP_BYTES = 2 ** 30;

/** One row group: its rows, and the numbers of one of its records. */
interface Group {
  readonly index: number;
  readonly first: number;
  readonly count: number;
  readonly perRecord: number;
}

/**
 * Opens a Parquet file whose column of rows is a list of floats. Row groups are decoded one after another, in batches;
 * the library holds the stored bytes of one group.
 */
export async function openParquetRows(path: string, choice: RowChoice): Promise<RowFile> {
  const { file, close } = await openParquet(path);
  try {
    const column = chooseColumn(path, tableFromIPC(file.schema().intoIPCStream()).schema, choice).name;
    const found = await findGroups(path, file, column, choice);
    return {
      path,
      count: found.groups.reduce((sum, { count }) => sum + count, 0),
      width: found.width,
      async *blocks(from, to, most, memory) {
        for (const group of found.groups) {
          const [start, end] = [Math.max(from - group.first, 0), Math.min(to - group.first, group.count)];
          if (start >= end) continue;
          yield* groupBlocks({ path, file, column, group, choice }, { from: start, to: end, most, memory });
        }
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The row groups, whose rows are counted by the numbers that the footer tells and the shape of the first record. */
async function findGroups(path: string, file: ParquetFile, column: string, choice: RowChoice) {
  const all = file
    .metadata()
    .rowGroups()
    .map((group, index) => {
      const chunk = group.columns().find((held) => held.columnPath()[0] === column);
      if (chunk === undefined) throw new FormatError(path, `holds no column ${column} in row group ${index}.`);
      if (chunk.compressedSize() > MAX_GROUP_BYTES) {
        throw new FormatError(
          path,
          `column ${column} takes ${chunk.compressedSize()} bytes in row group ${index}; up to ${MAX_GROUP_BYTES} are read. Write it with a smaller row_group_size.`,
        );
      }
      return { index, records: group.numRows(), numbers: chunk.numValues() };
    });
  const held = all.filter(({ numbers }) => numbers > 0);
  if (held.length === 0) return { width: choice.width ?? 0, groups: [] };
  const options = { rowGroups: [held[0]!.index], columns: [column], limit: 1 };
  const [record] = (await attempt(path, () => file.read(options))).recordBatches();
  const [segment] = record === undefined ? [] : await segmentsOf(path, record, choice);
  if (segment === undefined) throw new FormatError(path, `column ${column} holds no rows in its first record.`);
  const { width, stride } = segment.layout;
  const groups: Group[] = [];
  let first = 0;
  for (const { index, records, numbers } of held) {
    const count = numbers / stride;
    if (!Number.isInteger(count)) {
      throw new FormatError(
        path,
        `column ${column} holds ${numbers} numbers in row group ${index}, not a whole number of rows of ${stride}.`,
      );
    }
    groups.push({ index, first, count, perRecord: numbers / records });
    first += count;
  }
  return { width, groups };
}

/** What is read of one row group. */
interface GroupRead {
  readonly path: string;
  readonly file: ParquetFile;
  readonly column: string;
  readonly group: Group;
  readonly choice: RowChoice;
}

async function* groupBlocks(
  { path, file, column, group, choice }: GroupRead,
  { from, to, most, memory }: BlockRange,
): AsyncGenerator<Rows> {
  const batchSize = Math.max(1, Math.floor(BATCH_NUMBERS / group.perRecord));
  const stream = await attempt(path, () => file.stream({ rowGroups: [group.index], columns: [column], batchSize }));
  const reader = stream.getReader() as ReadableStreamDefaultReader<RecordBatch>;
  let at = 0;
  try {
    while (at < to) {
      const { done, value } = await attempt(path, () => reader.read());
      if (done)
        throw new FormatError(
          path,
          `row group ${group.index} holds ${at} rows, its footer says ${group.count}: rows are of one length.`,
        );
      const segments = await segmentsOf(path, value, choice);
      const count = rowsOf(segments);
      yield* blocksOf(segments, { from: Math.max(from - at, 0), to: Math.min(to - at, count), most, memory });
      at += count;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** The rows of one decoded batch. */
function segmentsOf(path: string, batch: RecordBatch, choice: RowChoice) {
  const bytes = batch.intoIPCStream();
  const source: ArrowSource = {
    path,
    size: bytes.length,
    read: (from, length) => Promise.resolve(bytes.subarray(from, from + length)),
    async fill(from, into) {
      into.set(bytes.subarray(from, from + into.length));
    },
  };
  return readSegments(source, choice);
}
