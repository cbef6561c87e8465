import { Packr, Unpackr } from "msgpackr";
import { invalid, WireError } from "./codec-error.ts";
import { type Extent, Measure } from "./extent.ts";
import { CODE_COLUMNS, type CodeColumn, columnOfCodes, type SparseCodes } from "../engine/core/sparse-codes.ts";
import type { Rows } from "../engine/core/rows.ts";
import {
  codeWriter,
  type EncodeAnswerHead,
  headFields,
  labelColumns,
  type NumberForm,
  shapeOf,
} from "./write-codes.ts";

/** 64-bit integers become doubles: values beyond 2^53 are out of every range of the API. */
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

/**
 * Parses MessagePack of a request body. Binary data becomes a view of `bytes`.
 *
 * The bytes are walked first, because the unpacker allocates for an announced length before it reads: the walk counts
 * all contents, checks that every length is covered by bytes, and refuses extensions.
 * @throws WireError PURSUIT_MALFORMED_BODY, PURSUIT_TOO_DEEP, PURSUIT_BODY_TOO_LARGE, PURSUIT_INVALID_FIELD
 */
export function parseMsgpack(bytes: Uint8Array, extent: Extent): unknown {
  if (bytes.length === 0) throw malformed("it is empty.");
  const measure = new Measure(extent, "The body");
  const cursor = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), measure, at: 0 };
  walk(cursor, 0);
  measure.check();
  if (cursor.at < bytes.length) throw malformed(`${bytes.length - cursor.at} bytes follow the value that it holds.`);
  return unpackr.unpack(bytes);
}

interface Cursor {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly measure: Measure;
  at: number;
}

/** Walks over one value and everything in it (msgpack's spec.md, "Formats"). */
function walk(cursor: Cursor, depth: number): void {
  const type = cursor.bytes[cursor.at++];
  if (type === undefined) throw truncated(cursor);
  if (type < 0x80 || type >= 0xe0) return;
  if (type < 0x90) return walkMap(cursor, type & 0x0f, depth);
  if (type < 0xa0) return walkList(cursor, type & 0x0f, depth);
  if (type < 0xc0) return skipText(cursor, type & 0x1f);
  switch (type) {
    case 0xc0: // nil, false, true
    case 0xc2:
    case 0xc3:
      return;
    case 0xcc: // 8 bits
    case 0xd0:
      return skip(cursor, 1);
    case 0xcd: // 16
    case 0xd1:
      return skip(cursor, 2);
    case 0xca: // 32
    case 0xce:
    case 0xd2:
      return skip(cursor, 4);
    case 0xcb: // 64
    case 0xcf:
    case 0xd3:
      return skip(cursor, 8);
    case 0xc4: // bin
      return skipBinary(cursor, length(cursor, 1));
    case 0xc5:
      return skipBinary(cursor, length(cursor, 2));
    case 0xc6:
      return skipBinary(cursor, length(cursor, 4));
    case 0xd9: // str
      return skipText(cursor, length(cursor, 1));
    case 0xda:
      return skipText(cursor, length(cursor, 2));
    case 0xdb:
      return skipText(cursor, length(cursor, 4));
    case 0xdc:
      return walkList(cursor, length(cursor, 2), depth);
    case 0xdd:
      return walkList(cursor, length(cursor, 4), depth);
    case 0xde:
      return walkMap(cursor, length(cursor, 2), depth);
    case 0xdf:
      return walkMap(cursor, length(cursor, 4), depth);
    case 0xc1:
      throw malformed(`the byte at ${cursor.at - 1} is 0xc1, which is never used.`);
    default:
      throw invalid(
        `The body holds an extension type at byte ${cursor.at - 1}; arrays are maps of data (bin), dtype and shape.`,
      );
  }
}

function walkList(cursor: Cursor, count: number, depth: number): void {
  if (count > cursor.bytes.length - cursor.at) throw truncated(cursor);
  cursor.measure.container(depth, cursor.at - 1, count);
  for (let i = 0; i < count; i++) walk(cursor, depth + 1);
}

function walkMap(cursor: Cursor, count: number, depth: number): void {
  if (count * 2 > cursor.bytes.length - cursor.at) throw truncated(cursor);
  cursor.measure.container(depth, cursor.at - 1, count);
  for (let i = 0; i < count; i++) {
    const key = cursor.bytes[cursor.at]!;
    if (!((key >= 0xa0 && key < 0xc0) || (key >= 0xd9 && key <= 0xdb))) {
      if (cursor.at >= cursor.bytes.length) throw truncated(cursor);
      throw invalid(`The body holds a key that is not text, at byte ${cursor.at}.`);
    }
    walkKey(cursor, key, depth + 1);
    walk(cursor, depth + 1);
  }
}

/** @param type first byte of the key, which must be a text */
function walkKey(cursor: Cursor, type: number, depth: number): void {
  cursor.at++;
  const size = type < 0xc0 ? type & 0x1f : length(cursor, type === 0xd9 ? 1 : type === 0xda ? 2 : 4);
  const from = cursor.at;
  skip(cursor, size);
  cursor.measure.key(depth, cursor.bytes, from, cursor.at);
}

function length(cursor: Cursor, size: 1 | 2 | 4): number {
  const from = cursor.at;
  skip(cursor, size);
  if (size === 1) return cursor.view.getUint8(from);
  return size === 2 ? cursor.view.getUint16(from) : cursor.view.getUint32(from);
}

function skip(cursor: Cursor, count: number): void {
  if (count > cursor.bytes.length - cursor.at) throw truncated(cursor);
  cursor.at += count;
}

/** Each becomes a view of the body. */
function skipBinary(cursor: Cursor, count: number): void {
  cursor.measure.view();
  skip(cursor, count);
}

function skipText(cursor: Cursor, count: number): void {
  cursor.measure.text();
  skip(cursor, count);
}

const truncated = ({ bytes }: Cursor): WireError =>
  malformed(`it ends in the middle, after ${bytes.length} bytes; was it cut off?`);

const malformed = (what: string): WireError =>
  new WireError("PURSUIT_MALFORMED_BODY", `The body is not MessagePack: ${what}`);

/** Plain maps, arrays and bin, which every MessagePack library reads; maps of any size. */
const packr = new Packr({ useRecords: false, variableMapSize: true, moreTypes: false });

/** Copies the bytes: the packer reuses its buffer for the next answer. */
const pack = (answer: object): Buffer<ArrayBuffer> => {
  const packed = packr.pack(answer);
  const bytes = Buffer.allocUnsafeSlow(packed.length);
  packed.copy(bytes);
  return bytes;
};

const dtypeOf = (column: CodeColumn): string =>
  column instanceof Float32Array ? "float32" : column instanceof Uint32Array ? "uint32" : "uint8";

/** `{data, dtype, shape}` with data as plain bin, for `numpy.frombuffer`. */
const arrayOf = (column: CodeColumn, shape: readonly number[] = [column.length]): object => ({
  data: Buffer.from(column.buffer, column.byteOffset, column.byteLength),
  dtype: dtypeOf(column),
  shape,
});

const NUMBERS: NumberForm = { one: (column, i) => column[i]!, list: (column) => arrayOf(column) };

/**
 * Writes an encode answer. Format csr: one array per column of {@link CODE_COLUMNS}, whatever the number of rows. Other
 * formats: an object per row, as in JSON, with lists of numbers as arrays.
 */
export function writeMsgpack(codes: SparseCodes, head: EncodeAnswerHead): Buffer<ArrayBuffer> {
  const { count } = codes;
  const { format, shape } = head;
  const fields = headFields(codes, head);
  if (format === "csr") return pack(addColumns(fields, codes, head));
  const write = codeWriter(codes, { ...head, format }, NUMBERS);
  return pack({ ...fields, ...(shape && { shape }), codes: Array.from({ length: count }, (_, i) => write(i)) });
}

/** Assigned one by one: V8 takes half as long as everything else here to spread such objects into a new one. */
function addColumns(
  answer: Record<string, unknown>,
  codes: SparseCodes,
  { labels, shape }: EncodeAnswerHead,
): Record<string, unknown> {
  const { count, width, indptr } = codes;
  const atoms = new Uint32Array(count);
  for (let i = 0; i < count; i++) atoms[i] = indptr[i + 1]! - indptr[i]!;
  answer["shape"] = [count, width];
  if (shape) answer["inputs_shape"] = shape;
  answer["atoms"] = arrayOf(atoms);
  if (labels) Object.assign(answer, labelColumns(labels));
  for (const rule of CODE_COLUMNS) {
    const column = columnOfCodes(codes, rule);
    if (column === undefined) continue;
    const { key, extent, names } = rule;
    const [outer, inner] = key;
    const written = names
      ? textsOf(column, names)
      : arrayOf(column, extent === "values" ? [count, column.length / count] : undefined);
    if (inner === undefined) answer[outer] = written;
    else ((answer[outer] ??= {}) as Record<string, unknown>)[inner] = written;
  }
  return answer;
}

/** Writes rows: a decode answer. */
export const writeRowsMsgpack = (rows: Rows): Buffer<ArrayBuffer> =>
  pack({ outputs: arrayOf(rows.data, shapeOf(rows)) });

/** By index: an iterator makes an object of every number. */
function textsOf(column: CodeColumn, names: readonly string[]): string[] {
  const texts: string[] = Array.from({ length: column.length });
  for (let i = 0; i < column.length; i++) texts[i] = names[column[i]!]!;
  return texts;
}
