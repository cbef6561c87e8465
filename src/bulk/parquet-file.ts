import { makeVector, Table as ArrowTable, tableToIPC } from "apache-arrow";
import { Compression, ParquetFile, Table, writeParquet, WriterPropertiesBuilder } from "parquet-wasm";
import type { SparseCodes } from "../engine/core/sparse-codes.ts";
import { FormatError } from "../engine/dictionaries/formats/format-error.ts";
import { openPlainFile, readExactly } from "../engine/dictionaries/formats/plain-file.ts";

/** An open Parquet file, whose footer the library has read. */
export interface OpenParquet {
  readonly file: ParquetFile;
  readonly close: () => Promise<void>;
}

/** @throws FormatError when it is no Parquet file; the system's error when it cannot be read */
export async function openParquet(path: string): Promise<OpenParquet> {
  const { handle, size } = await openPlainFile(path);
  try {
    const blob = blobOf(size, (from, length) => readExactly(handle, path, from, length));
    const file = await attempt(path, () => ParquetFile.fromFile(blob));
    return {
      file,
      async close() {
        file.free();
        await handle.close();
      },
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** What the library asks of a Blob: its size, and the bytes of a part. */
function blobOf(size: number, read: (from: number, length: number) => Promise<Buffer>): Blob {
  const part = (from: number, to: number) => ({
    size: to - from,
    // With memory of its own: small buffers share theirs.
    arrayBuffer: async () => Uint8Array.from(await read(from, to - from)).buffer,
  });
  return { size, slice: (from = 0, to = size) => part(from, to) } as unknown as Blob;
}

/** Runs a call of the library, which throws texts as well as errors. @throws FormatError */
export async function attempt<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw new FormatError(path, `cannot be read as Parquet: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Entries of one row group. */
const GROUP_ENTRIES = 1 << 20;

/**
 * Writes codes as Parquet: row (int64), feature (uint32), value (float32), an entry a line, rows in order.
 * @param first number of the first row
 * @param facts texts for the file's metadata
 */
export function writeEntries(
  parts: readonly SparseCodes[],
  first: number,
  facts: Readonly<Record<string, string>>,
): Uint8Array {
  const entries = parts.reduce((sum, { indices }) => sum + indices.length, 0);
  const row = new BigInt64Array(entries);
  const feature = new Uint32Array(entries);
  const value = new Float32Array(entries);
  let at = 0;
  let base = first;
  for (const { count, indptr, indices, values } of parts) {
    for (let i = 0; i < count; i++) row.fill(BigInt(base + i), at + indptr[i]!, at + indptr[i + 1]!);
    feature.set(indices, at);
    value.set(values, at);
    at += indices.length;
    base += count;
  }
  const columns = { row: makeVector(row), feature: makeVector(feature), value: makeVector(value) };
  const table = Table.fromIPCStream(tableToIPC(new ArrowTable(columns), "stream"));
  const properties = new WriterPropertiesBuilder()
    .setCompression(Compression.ZSTD)
    .setMaxRowGroupSize(GROUP_ENTRIES)
    .setKeyValueMetadata(new Map(Object.entries(facts)))
    .build();
  return writeParquet(table, properties);
}
