import { type FileHandle, mkdir, open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import {
  CODE_COLUMNS,
  type CodeColumn,
  columnOfCodes,
  type SparseCodes,
  STOP_REASONS,
} from "../engine/core/sparse-codes.ts";
import { FormatError } from "../engine/dictionaries/formats/format-error.ts";
import { SafetensorsFile } from "../engine/dictionaries/formats/safetensors.ts";

/** Formats of files of codes. */
export const SHARD_FORMATS = ["safetensors", "parquet"] as const;
export type ShardFormat = (typeof SHARD_FORMATS)[number];

/** Texts beside the codes of a shard: what made them, and of which rows they are. */
export type ShardFacts = Readonly<Record<string, string>>;

/** Loaded on first use: its WebAssembly takes memory that a server has no use for. */
const parquet = () => import("./parquet-file.ts");

/**
 * Writes the codes of consecutive rows as one file, under another name until it is whole and on disk: a file of its own
 * name is never torn. safetensors: a column of codes a tensor, in CSR form. Parquet: one line (row, feature, value) an
 * entry; steps, stops and residual norms are left out.
 * @param first number of the first row in its source, for Parquet
 */
export async function writeShard(
  path: string,
  format: ShardFormat,
  parts: readonly SparseCodes[],
  first: number,
  facts: ShardFacts,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const handle = await open(`${path}.part`, "w");
  try {
    const chunks =
      format === "safetensors" ? safetensorsOf(parts, facts) : [(await parquet()).writeEntries(parts, first, facts)];
    for (const chunk of chunks) await writeAll(handle, chunk);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${path}.part`, path);
  await syncFolder(dirname(path));
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, at, Math.min(bytes.length - at, 1 << 30));
    at += bytesWritten;
  }
}

/** Makes a rename last through a loss of power, where the system can sync a folder. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r").catch(() => null);
  try {
    await folder?.sync();
  } catch {
    // Some file systems cannot; the file itself is on disk.
  } finally {
    await folder?.close();
  }
}

/** Reads the facts of a shard that was written whole; null where there is none. @throws FormatError */
export async function readShardFacts(path: string, format: ShardFormat): Promise<ShardFacts | null> {
  try {
    if (format === "parquet") {
      const { file, close } = await (await parquet()).openParquet(path);
      try {
        return Object.fromEntries(file.metadata().fileMetadata().keyValueMetadata()) as ShardFacts;
      } finally {
        await close();
      }
    }
    const file = await SafetensorsFile.open(path);
    await file.close();
    return file.metadata;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    if (error instanceof FormatError)
      throw new FormatError(path, `${error.reason} Remove it, and run the command again.`);
    throw error;
  }
}

/** The bytes of a safetensors file: its header, then each column's parts one after another, so that none is copied. */
function* safetensorsOf(parts: readonly SparseCodes[], facts: ShardFacts): Generator<Uint8Array> {
  const columns = CODE_COLUMNS.flatMap((rule) => {
    const [outer] = rule.path;
    if (outer === "trace" || outer === "reconstruction") return [];
    const pieces = parts.map((part) => columnOfCodes(part, rule));
    if (pieces.length === 0 || !pieces.every((piece) => piece !== undefined)) return [];
    return [{ name: rule.name, pieces: rule.extent === "pointers" ? pointersOf(pieces as Uint32Array[]) : pieces }];
  });
  let at = 0;
  const entries = columns.map(({ name, pieces }) => {
    const from = at;
    for (const { byteLength } of pieces) at += byteLength;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    return [name, { dtype: dtypeOf(pieces[0]!), shape: [length], data_offsets: [from, at] }] as const;
  });
  const metadata = { ...facts, stop_names: JSON.stringify(STOP_REASONS) };
  const json = Buffer.from(JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) }));
  const head = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ");
  head.writeBigUInt64LE(BigInt(head.length - 8));
  json.copy(head, 8);
  yield head;
  for (const { pieces } of columns) {
    for (const { buffer, byteOffset, byteLength } of pieces) yield new Uint8Array(buffer, byteOffset, byteLength);
  }
}

const dtypeOf = (column: CodeColumn): string =>
  column instanceof Float32Array ? "F32" : column instanceof Uint32Array ? "U32" : "U8";

/** Row pointers of parts → those of the whole: each part's count from the end of the one before. */
function pointersOf(parts: readonly Uint32Array[]): Uint32Array<ArrayBuffer>[] {
  let base = 0;
  return parts.map((part, i) => {
    const moved = Uint32Array.from(part, (at) => base + at);
    base = moved.at(-1)!;
    return i === 0 ? moved : moved.subarray(1);
  });
}
