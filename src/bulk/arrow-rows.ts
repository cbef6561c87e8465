import { DataType, type Field, Precision, type Schema } from "apache-arrow";
import { FLOAT_BYTES, type FloatType } from "../engine/core/float-formats.ts";
import type { Rows } from "../engine/core/rows.ts";
import { FormatError } from "../engine/dictionaries/formats/format-error.ts";
import { fillExactly, openPlainFile, readExactly } from "../engine/dictionaries/formats/plain-file.ts";
import { decodeMessage } from "./arrow-message.ts";
import {
  type BlockRange,
  layoutOf,
  readBlocks,
  type RowChoice,
  type RowFile,
  type RowLayout,
  type StoredFloats,
} from "./row-file.ts";

/** Bytes of Arrow messages: a file, or a stream in memory. */
export interface ArrowSource {
  readonly path: string;
  readonly size: number;
  read(from: number, length: number): Promise<Uint8Array>;
  /** Fills `into` with the bytes from position `from` on. */
  fill(from: number, into: Uint8Array): Promise<void>;
}

/** A schema takes some hundred bytes a column, a batch some 40. */
const MAX_METADATA_BYTES = 16 << 20;
const MAGIC = "ARROW1";

/** Rows of one record batch: a run of numbers in the source. */
export interface Segment {
  readonly first: number;
  readonly layout: RowLayout;
  readonly floats: StoredFloats;
  /** Reads the offsets of the lists, which must all be of one length. @throws FormatError */
  readonly check: () => Promise<void>;
}

/**
 * Opens Arrow's stream format, in which Hugging Face datasets and SAELens keep activations, or its file format. Only the
 * messages' heads are read here. Of a batch only the numbers of the chosen column are read later, in blocks.
 */
export async function openArrowRows(path: string, choice: RowChoice): Promise<RowFile> {
  const { handle, size } = await openPlainFile(path);
  const source: ArrowSource = {
    path,
    size,
    read: (from, length) => readExactly(handle, path, from, length),
    async fill(from, into) {
      await fillExactly(handle, path, from, into);
    },
  };
  try {
    const segments = await readSegments(source, choice);
    return {
      path,
      count: rowsOf(segments),
      width: segments[0]?.layout.width ?? choice.width ?? 0,
      blocks: (from, to, most, memory) => blocksOf(segments, { from, to, most, memory }),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

export const rowsOf = (segments: readonly Segment[]): number =>
  segments.reduce((sum, { layout }) => sum + layout.count, 0);

/** The rows [from, to) of consecutive segments. */
export async function* blocksOf(
  segments: readonly Segment[],
  { from, to, most, memory }: BlockRange,
): AsyncGenerator<Rows> {
  for (const { first, layout, floats, check } of segments) {
    const [start, end] = [Math.max(from - first, 0), Math.min(to - first, layout.count)];
    if (start >= end) continue;
    await check();
    yield* readBlocks(floats, layout, { from: start, to: end, most, memory });
  }
}

/** Finds the rows of each record batch. @throws FormatError */
export async function readSegments(source: ArrowSource, choice: RowChoice): Promise<Segment[]> {
  const { path, size } = source;
  const head = Buffer.from(await source.read(0, Math.min(size, 8)));
  const isFile = head.toString("latin1", 0, MAGIC.length) === MAGIC;
  const segments: Segment[] = [];
  let column: Column | null = null;
  let first = 0;
  let at = isFile ? 8 : 0;
  for (;;) {
    if (at + 8 > size) throw new FormatError(path, "has no end-of-stream mark: it is cut off, or still being written.");
    const prefix = Buffer.from(await source.read(at, 8));
    if (prefix.readUInt32LE(0) !== 0xffffffff) {
      throw new FormatError(path, `is no Arrow file: no message begins at byte ${at}.`);
    }
    const length = prefix.readInt32LE(4);
    if (length < 0 || length > MAX_METADATA_BYTES || at + 8 + length > size) {
      throw new FormatError(path, `claims ${length} bytes of metadata at byte ${at}: it is cut off, or no Arrow file.`);
    }
    if (length === 0) break;
    const metadata = await source.read(at + 8, length);
    const body = at + 8 + length;
    const message = decodeMessage(path, at, metadata);
    const end = body + message.bodyLength;
    if (!(message.bodyLength >= 0) || end > size) {
      throw new FormatError(path, `is ${size} bytes long; the message at byte ${at} ends at ${end}: it is cut off.`);
    }
    if (message.isSchema()) column = chooseColumn(path, message.header(), choice);
    else if (message.isRecordBatch()) {
      if (column === null) throw new FormatError(path, "begins with no schema.");
      const segment = segmentOf(source, column, message.header(), { body, end, first }, choice);
      if (segment !== null) segments.push(segment);
      first += segment?.layout.count ?? 0;
    }
    at = end;
  }
  if (column === null) throw new FormatError(path, "holds no schema.");
  const tail = isFile ? Buffer.from(await source.read(size - MAGIC.length, MAGIC.length)).toString("latin1") : MAGIC;
  if (tail !== MAGIC) throw new FormatError(path, "does not end as an Arrow file does: it is cut off.");
  return segments;
}

/** A list on the way from a record to its numbers. `size`: of a list of fixed size. */
interface Level {
  readonly kind: "list" | "large" | "fixed";
  readonly size?: number;
}

/** The column of rows, and where its parts stand among a batch's nodes and buffers. */
export interface Column {
  readonly name: string;
  /** From the outermost list to the one that holds a row's numbers. */
  readonly levels: readonly Level[];
  readonly type: FloatType;
  readonly node: number;
  readonly buffer: number;
}

const FLOATS: Readonly<Record<number, FloatType>> = {
  [Precision.HALF]: "F16",
  [Precision.SINGLE]: "F32",
  [Precision.DOUBLE]: "F64",
};

/** The column of rows: the one that is named, or the only list of floats. @throws FormatError */
export function chooseColumn(path: string, schema: Schema, { column }: RowChoice): Column {
  const found = schema.fields.flatMap(({ name, type }) => {
    const lists = listsOf(type);
    return lists === null ? [] : [{ name, ...lists }];
  });
  const wanted = column === undefined ? found : found.filter(({ name }) => name === column);
  const held = schema.fields.slice(0, 8).map(({ name, type }) => `${name.slice(0, 80)} (${String(type).slice(0, 80)})`);
  if (wanted.length !== 1) {
    const why =
      column === undefined
        ? "does not say which column holds the rows: name it by --column"
        : `holds no column ${column} of lists of floats (--column)`;
    throw new FormatError(path, `${why}. Its columns: ${held.join(", ")}${schema.fields.length > 8 ? ", …" : ""}.`);
  }
  const chosen = wanted[0]!;
  let [node, buffer] = [0, 0];
  for (const field of schema.fields) {
    if (field.name === chosen.name) return { ...chosen, node, buffer };
    const taken = slotsOf(path, field);
    node += taken.nodes;
    buffer += taken.buffers;
  }
  throw new FormatError(path, `holds no column ${chosen.name}.`);
}

/** The lists around a column's floats; null where it is no list of floats. */
function listsOf(type: DataType): Pick<Column, "levels" | "type"> | null {
  const levels: Level[] = [];
  let inner = type;
  for (;;) {
    if (DataType.isList(inner)) levels.push({ kind: "list" });
    else if (DataType.isLargeList(inner)) levels.push({ kind: "large" });
    else if (DataType.isFixedSizeList(inner)) levels.push({ kind: "fixed", size: inner.listSize });
    else break;
    const item = (inner.children as readonly (Field | undefined)[])[0];
    if (item === undefined) return null;
    inner = item.type;
  }
  const float = DataType.isFloat(inner) ? FLOATS[inner.precision] : undefined;
  return levels.length === 0 || float === undefined ? null : { levels, type: float };
}

/** Nodes and buffers that a column has in each batch (Arrow's format, "Buffer Listing for Each Layout"). */
function slotsOf(path: string, { name, type }: Field): { readonly nodes: number; readonly buffers: number } {
  let [nodes, buffers] = [1, 2];
  if (DataType.isNull(type)) buffers = 0;
  else if (
    DataType.isUtf8(type) ||
    DataType.isLargeUtf8(type) ||
    DataType.isBinary(type) ||
    DataType.isLargeBinary(type)
  )
    buffers = 3;
  else if (DataType.isStruct(type) || DataType.isFixedSizeList(type)) buffers = 1;
  else if (DataType.isUtf8View(type) || DataType.isBinaryView(type) || DataType.isUnion(type)) {
    throw new FormatError(
      path,
      `column ${name} is of type ${String(type)}, behind which no column can be found. Leave it out of the file.`,
    );
  }
  const children = DataType.isDictionary(type) ? [] : ((type.children ?? []) as readonly Field[]);
  for (const child of children) {
    const taken = slotsOf(path, child);
    nodes += taken.nodes;
    buffers += taken.buffers;
  }
  return { nodes, buffers };
}

/** As apache-arrow decodes the head of a record batch; it exports no name of it. */
interface BatchHead {
  readonly nodes: readonly { readonly length: number; readonly nullCount: number }[];
  readonly buffers: readonly { readonly offset: number; readonly length: number }[];
  readonly compression: unknown;
}

function segmentOf(
  source: ArrowSource,
  { name, levels, type, node, buffer }: Column,
  { nodes, buffers, compression }: BatchHead,
  place: { readonly body: number; readonly end: number; readonly first: number },
  choice: RowChoice,
): Segment | null {
  const { path } = source;
  const fault = (reason: string): FormatError => new FormatError(path, `column ${name} ${reason}`);
  if (compression !== null) {
    throw new FormatError(
      path,
      'has compressed buffers, which are not read. Write it with compression="uncompressed", or as Parquet.',
    );
  }
  const bytesOf = (at: number, needed: number): number => {
    const region = buffers[at];
    const from = place.body + (region?.offset ?? Number.NaN);
    if (!(from >= place.body) || !(needed <= region!.length) || from + needed > place.end) {
      throw fault(`has a buffer that ends beyond its batch, at row ${place.first}: the file is damaged.`);
    }
    return from;
  };
  const parts = nodes.slice(node, node + levels.length + 1);
  if (parts.length <= levels.length) throw fault("is missing in a batch: the file is damaged.");
  if (parts.some(({ nullCount }) => nullCount !== 0))
    throw fault(`holds nulls in the batch from row ${place.first} on. Fill or drop them.`);
  const lengths = parts.map(({ length }) => length);
  const numbers = lengths.at(-1)!;
  if (lengths.some((length) => !Number.isSafeInteger(length) || length < 0))
    throw fault("has a batch of no length: the file is damaged.");
  if (numbers === 0) return null;
  const sizes = levels.map((_, i) => lengths[i + 1]! / lengths[i]!);
  // Lists of one length make an array. The next outer ones count where a layer is chosen, or two dimensions make a row.
  const paired = choice.layer !== undefined || (choice.width !== undefined && sizes.at(-1) !== choice.width);
  const checked = paired && levels.length > 1 ? 2 : 1;
  const ragged = sizes.slice(-checked).some((size) => !Number.isInteger(size));
  if (ragged)
    throw fault(`holds lists of different lengths in the batch from row ${place.first} on; rows are of one length.`);
  const outer = lengths[levels.length - checked]!;
  const layout = layoutOf(path, `column ${name}`, [outer, ...sizes.slice(-checked)], choice);
  const size = FLOAT_BYTES[type];
  const at = bytesOf(buffer + levels.reduce((sum, { kind }) => sum + (kind === "fixed" ? 1 : 2), 1), numbers * size);
  return {
    first: place.first,
    layout,
    floats: { type, fill: (from, into) => source.fill(at + from * size, into) },
    async check() {
      let slot = buffer;
      for (const [i, { kind }] of levels.entries()) {
        if (kind !== "fixed" && i >= levels.length - checked) {
          const wide = kind === "large" ? 8 : 4;
          const bytes = (lengths[i]! + 1) * wide;
          const offsets = await source.read(bytesOf(slot + 1, bytes), bytes);
          const bad = firstUneven(offsets, wide, sizes[i]!);
          if (bad !== null)
            throw fault(
              `holds lists of different lengths, at record ${bad} of the batch from row ${place.first} on; rows are of one length.`,
            );
        }
        slot += kind === "fixed" ? 1 : 2;
      }
    },
  };
}

/** The first list that does not begin where lists of that size would; null if each does. */
function firstUneven(offsets: Uint8Array, wide: 4 | 8, size: number): number | null {
  const view = new DataView(offsets.buffer, offsets.byteOffset, offsets.byteLength);
  for (let i = 0; i * wide < offsets.byteLength; i++) {
    const offset = wide === 4 ? view.getInt32(i * 4, true) : Number(view.getBigInt64(i * 8, true));
    if (offset !== i * size) return Math.max(0, i - 1);
  }
  return null;
}
