import type { CodesToDecode } from "../engine/core/sparse-codes.ts";
import type { BodyForm } from "./body-form.ts";
import { readCodes } from "./codes.ts";
import { parseOctets } from "./octets.ts";
import { parseJsonRows } from "./parse-json-rows.ts";
import { parseMsgpack } from "./parse-msgpack.ts";
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

const readEncode = ({ inputs, ...fields }: PostedObject, limits: RowLimits): EncodeBody => ({
  rows: readRows(inputs, limits),
  fields,
});

/**
 * How the body of each route that takes one is read, once a codec has made an object of its bytes: every codec serves
 * every kind. A kind whose numbers are `inputs` may also come as octet-stream, its other fields in the query.
 */
export const BODY_READERS = {
  encode: readEncode,
  /** Rows beside fields, as in encode; its edits are read with their dictionary at hand. */
  steer: readEncode,
  fields: (posted: PostedObject): FieldsBody => ({ fields: posted }),
  decode: ({ codes, ...fields }: PostedObject, limits: RowLimits): DecodeBody => ({
    codes: readCodes(codes, limits),
    fields,
  }),
} as const;

export type BodyKind = keyof typeof BODY_READERS;
export type BodyOf<K extends BodyKind> = ReturnType<(typeof BODY_READERS)[K]>;
export type Body = BodyOf<BodyKind>;

/** Kinds whose numbers are `inputs`. */
export const KINDS_OF_ROWS: ReadonlySet<BodyKind> = new Set(["encode"]);

type PostedObject = Readonly<Record<string, unknown>>;

/** @throws WireError whatever the codec or the kind's reader finds */
export function readBody<K extends BodyKind>(kind: K, bytes: Uint8Array, form: BodyForm, limits: RowLimits): BodyOf<K> {
  return BODY_READERS[kind](parse(bytes, form), limits) as BodyOf<K>;
}

function parse(bytes: Uint8Array, form: BodyForm): PostedObject {
  if (form.type === "octet-stream") return parseOctets(bytes, form);
  const [name, body] = form.type === "json" ? ["JSON object", parseJsonRows(bytes)] : ["map", parseMsgpack(bytes)];
  if (typeof body !== "object" || body === null || Array.isArray(body) || body instanceof Uint8Array) {
    throw invalid(`The body must be a ${name}; it is ${describe(body)}.`);
  }
  return body as PostedObject;
}
