import { type Format, writeCodes, writeRows } from "./write-codes.ts";
import { writeCodeLines, writeRowLines } from "./write-lines.ts";
import { writeMsgpack, writeRowsMsgpack } from "./write-msgpack.ts";
import { writeRowsOctets } from "./write-octets.ts";
import { writeRowsSafetensors, writeSafetensors } from "./write-safetensors.ts";

/** Writers of sparse codes, by answer type. */
export const CODES_WRITERS = {
  json: writeCodes,
  msgpack: writeMsgpack,
  safetensors: writeSafetensors,
  ndjson: writeCodeLines,
} as const;
export type CodesType = keyof typeof CODES_WRITERS;
export const CODES_TYPES = Object.keys(CODES_WRITERS) as readonly CodesType[];

/** The format of codes where a request names none: rows as objects are slow to write in MessagePack. */
export const defaultFormat = (as: CodesType): Format => (as === "msgpack" ? "csr" : "sparse");

/** Writers of rows, by answer type. */
export const ROWS_WRITERS = {
  json: writeRows,
  msgpack: writeRowsMsgpack,
  safetensors: writeRowsSafetensors,
  "octet-stream": writeRowsOctets,
  ndjson: writeRowLines,
} as const;
export type RowsType = keyof typeof ROWS_WRITERS;
export const ROWS_TYPES = Object.keys(ROWS_WRITERS) as readonly RowsType[];

/** Format of an answer body, without HTTP's names. */
export type AnswerType = CodesType | RowsType;
