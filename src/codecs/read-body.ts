import type { CodesToDecode } from "../engine/core/sparse-codes.ts";
import { readCodes } from "./codes.ts";
import { checkFields, codesExtent, deeper, editsExtent, type Extent, rowsExtent, together } from "./extent.ts";
import { isNpy } from "../engine/core/npy-header.ts";
import { inTwoSets, parseNpy, parseOctets } from "./octets.ts";
import { parseJsonRows } from "./parse-json.ts";
import { parseMsgpack } from "./msgpack.ts";
import { type BodyLimits, checkCount, describe, invalid, named, type PostedRows } from "./codec-error.ts";
import { readRows } from "./rows.ts";
import { ANSWER_FIELDS } from "./write-codes.ts";

/** An encode request: its rows, read and checked; the other fields as posted, for the schema to check. */
interface EncodeBody {
  readonly rows: PostedRows;
  /** Target rows of a transcoder. */
  readonly targets?: PostedRows;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A body without rows: its fields as posted, for the schema to check. */
interface FieldsBody {
  readonly fields: Readonly<Record<string, unknown>>;
}

/** One row to search by, or none. */
interface SearchBody {
  readonly rows: PostedRows | null;
  readonly fields: Readonly<Record<string, unknown>>;
}

interface DecodeBody {
  readonly codes: CodesToDecode;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** One of two sets to compare: rows to encode, or codes. */
export type PostedSet = { readonly rows: PostedRows } | { readonly codes: CodesToDecode };

/** Two sets of rows or codes. */
interface ContrastBody {
  readonly a: PostedSet;
  readonly b: PostedSet;
  readonly fields: Readonly<Record<string, unknown>>;
}

interface BodyReader<B> {
  /** Limits on its contents. @param d row length; null: not known yet */
  readonly extent: (limits: BodyLimits, d: number | null) => Extent;
  readonly read: (posted: PostedObject, limits: BodyLimits, sizes: Sizes | null) => B;
  /** For kinds whose rows may be the whole body, as octet-stream or .npy, with the other fields in the query. */
  readonly bare?: BareRows;
}

interface BareRows {
  /** Which of the dictionary's widths the rows have. */
  readonly width: "dIn" | "dOut";
  /** Puts `inputs` and the fields of the query where `read` looks for them; absent: they are there. */
  readonly arrange?: (posted: Record<string, unknown>) => PostedObject;
}

/** The whole answer may be posted back. */
const PASSED_OVER: ReadonlySet<string> = new Set(ANSWER_FIELDS);

function readDecode(posted: PostedObject, limits: BodyLimits, sizes: Sizes | null): DecodeBody {
  const { sha256, codes, inputs, ...others } = posted;
  // A csr answer has columns in place of codes.
  const inColumns = codes === undefined && "indptr" in others;
  const kept = inColumns ? [] : Object.entries(others).filter(([name]) => !PASSED_OVER.has(name));
  const read = readCodes(inColumns ? others : codes, limits, sizes);
  const rows = inputs === undefined ? null : readRows(inputs, limits);
  // Rows of several layers are counted with their dictionary.
  if (rows !== null && rows.count !== read.count && rows.shape.length === 2)
    throw invalid(`inputs holds ${rows.count} rows for ${read.count} codes; give the row of each code.`);
  return {
    codes: rows === null ? read : { ...read, inputs: rows.data },
    fields: { ...Object.fromEntries(kept), ...(sha256 !== undefined && { sha256 }) },
  };
}

function readRowsBeside({ inputs, ...fields }: PostedObject, limits: BodyLimits): EncodeBody {
  if (inputs === undefined && Object.keys(fields).length > 0) {
    const held = Object.keys(fields).slice(0, 5).map(named).join(", ");
    throw invalid(`inputs is missing; the body holds ${held}. Rows go into inputs: {"inputs": [[…]]}.`);
  }
  return { rows: readRows(inputs, limits), fields };
}

const readEncode = ({ targets, ...posted }: PostedObject, limits: BodyLimits): EncodeBody => ({
  ...readRowsBeside(posted, limits),
  ...(targets !== undefined && { targets: readRows(targets, limits, "targets") }),
});

const readSearch = ({ inputs, ...fields }: PostedObject, limits: BodyLimits): SearchBody => ({
  rows: inputs === undefined ? null : readRows(inputs, limits),
  fields,
});

function readContrast({ a, b, ...fields }: PostedObject, limits: BodyLimits, sizes: Sizes | null): ContrastBody {
  const sets = { a: readSet(a, "a", limits, sizes), b: readSet(b, "b", limits, sizes) };
  const count = countOf(sets.a) + countOf(sets.b);
  checkCount(count, limits, "a and b together");
  return { ...sets, fields };
}

const countOf = (set: PostedSet): number => ("rows" in set ? set.rows.count : set.codes.count);

/** @throws WireError PURSUIT_INVALID_FIELD, and what the readers of rows and of codes throw, about `inputs` or `codes` of the set */
function readSet(set: unknown, name: string, limits: BodyLimits, sizes: Sizes | null): PostedSet {
  if (typeof set !== "object" || set === null || Array.isArray(set)) {
    throw invalid(`${name} must be {"inputs": rows} or {"codes": codes}; it is ${describe(set)}.`);
  }
  const { inputs, codes, ...rest } = set as Record<string, unknown>;
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw invalid(`${name} has no field ${named(unknown)}; it takes inputs or codes.`);
  if ((inputs === undefined) === (codes === undefined)) {
    throw invalid(`${name} must hold either inputs or codes; it holds ${inputs === undefined ? "neither" : "both"}.`);
  }
  if (inputs !== undefined) return { rows: readRows(inputs, limits, `${name}.inputs`) };
  return { codes: readCodes(codes, limits, sizes, `${name}.codes`) };
}

/**
 * Readers of the body of each kind of route, after a codec has made an object of its bytes: every codec of objects serves
 * every kind.
 */
export const BODY_READERS = {
  encode: {
    extent: (limits, d) => together(rowsExtent(limits, d), rowsExtent(limits, d)),
    read: readEncode,
    bare: { width: "dIn" },
  },
  /** Rows beside fields, as in encode; edits are read later, with their dictionary. */
  steer: {
    extent: (limits, d) => together(rowsExtent(limits, d), editsExtent(limits, d)),
    read: readRowsBeside,
    bare: { width: "dIn" },
  },
  /** A row of the space that features write to. */
  search: { extent: rowsExtent, read: readSearch, bare: { width: "dOut" } },
  fields: { extent: editsExtent, read: (posted: PostedObject): FieldsBody => ({ fields: posted }) },
  contrast: {
    // One level deeper: the sets.
    extent: (limits, d) => deeper(together(codesExtent(limits), rowsExtent(limits, d))),
    read: readContrast,
    bare: { width: "dIn", arrange: inTwoSets },
  },
  decode: { extent: (limits, d) => together(codesExtent(limits), rowsExtent(limits, d)), read: readDecode },
} as const satisfies Record<string, BodyReader<unknown>>;

export type BodyKind = keyof typeof BODY_READERS;
export type BodyOf<K extends BodyKind> = ReturnType<(typeof BODY_READERS)[K]["read"]>;
export type Body = BodyOf<BodyKind>;

/** How a kind's rows come alone; undefined for a kind whose rows need fields beside them. */
export function bareRowsOf(kind: BodyKind): BareRows | undefined {
  const reader: BodyReader<unknown> = BODY_READERS[kind];
  return reader.bare;
}

type PostedObject = Readonly<Record<string, unknown>>;

/** @throws WireError of the codec or the kind's reader */
export function readBody<K extends BodyKind>(
  kind: K,
  bytes: Uint8Array,
  form: BodyForm,
  limits: BodyLimits,
): BodyOf<K> {
  const reader: BodyReader<Body> = BODY_READERS[kind];
  const extent = reader.extent(limits, form.sizes?.d ?? null);
  const posted = parse(bytes, form, extent, limits);
  const arranged = "query" in form ? (reader.bare?.arrange?.(posted) ?? posted) : posted;
  const body = reader.read(arranged, limits, form.sizes);
  checkFields(body.fields, extent.fields);
  return body as BodyOf<K>;
}

function parse(bytes: Uint8Array, form: BodyForm, extent: Extent, limits: BodyLimits): PostedObject {
  if ("query" in form)
    return form.type === "npy" || isUnsaidNpy(bytes, form) ? parseNpy(bytes, form.query) : parseOctets(bytes, form);
  const [name, body] =
    form.type === "json" ? ["JSON object", parseJsonRows(bytes, extent, limits)] : ["map", parseMsgpack(bytes, extent)];
  if (typeof body !== "object" || body === null || Array.isArray(body) || body instanceof Uint8Array) {
    throw invalid(`The body must be a ${name}; it is ${describe(body)}.`);
  }
  return body as PostedObject;
}

/** A .npy file sent as bytes: its header says what the query would. */
const isUnsaidNpy = (bytes: Uint8Array, { query }: OctetsForm): boolean => query["dtype"] === undefined && isNpy(bytes);

/** Types of body bytes, without their HTTP names. */
export const BODY_TYPES = ["json", "msgpack", "octet-stream", "npy"] as const;
export type BodyType = (typeof BODY_TYPES)[number];

/** A parsed query string: a repeated name holds a list. */
export type Query = Readonly<Record<string, string | readonly string[]>>;

/** Sizes of a dictionary. */
export interface Sizes {
  /** Row length. */
  readonly d: number;
  /** Number of atoms. */
  readonly m: number;
}

export type BodyForm = {
  /** Sizes of the dictionary in the path, or the largest that the body may name; null if not known yet. */
  readonly sizes: Sizes | null;
} & ({ readonly type: "json" | "msgpack" } | OctetsForm);

/** A body of numbers alone. */
export interface OctetsForm {
  readonly type: "octet-stream" | "npy";
  /** Holds every field that another body would hold itself; without a .npy header also `dtype` and `rows`. */
  readonly query: Query;
  /** Required row length; null: as `rows` says. */
  readonly width: number | null;
}
