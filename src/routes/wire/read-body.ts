import type { CodesToDecode } from "../../engine/engine.ts";
import { readCodes } from "./codes.ts";
import { parseJson } from "./parse-json.ts";
import { describe, invalid, type PostedRows, type RowLimits } from "./posted-rows.ts";
import { readRows } from "./rows.ts";

/** An encode request: its rows, read and checked; the other fields as posted, for the schema to check. */
export interface EncodeBody {
  readonly rows: PostedRows;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A body without rows: its fields as posted, for the schema to check. */
export interface FieldsBody {
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface DecodeBody {
  readonly codes: CodesToDecode;
  readonly fields: Readonly<Record<string, unknown>>;
}

const readEncode = (bytes: Uint8Array, limits: RowLimits): EncodeBody => {
  const { inputs, ...fields } = readObject(bytes);
  return { rows: readRows(inputs, limits), fields };
};

/** How the JSON body of each route that takes one is read. */
export const BODY_READERS = {
  encode: readEncode,
  /** Rows beside fields, as in encode; its edits are read with their dictionary at hand. */
  steer: readEncode,
  fields: (bytes: Uint8Array): FieldsBody => ({ fields: readObject(bytes) }),
  decode: (bytes: Uint8Array, limits: RowLimits): DecodeBody => {
    const { codes, ...fields } = readObject(bytes);
    return { codes: readCodes(codes, limits), fields };
  },
} as const;

export type BodyKind = keyof typeof BODY_READERS;
export type BodyOf<K extends BodyKind> = ReturnType<(typeof BODY_READERS)[K]>;
export type Body = BodyOf<BodyKind>;

function readObject(bytes: Uint8Array): Record<string, unknown> {
  const body = parseJson(bytes);
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw invalid(`The body must be a JSON object; it is ${describe(body)}.`);
  }
  return body as Record<string, unknown>;
}
