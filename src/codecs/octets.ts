import { FLOAT_BYTES, type FloatType } from "../engine/core/float-formats.ts";
import { NpyError, npyFloatType, parseNpyHeader } from "../engine/core/npy-header.ts";
import { type Dtype, DTYPES } from "./rows.ts";
import type { OctetsForm, Query } from "./read-body.ts";
import { invalid, named, WireError } from "./codec-error.ts";
import { fieldsExtent } from "./extent.ts";
import { parseJson } from "./parse-json.ts";
import type { Rows } from "../engine/core/rows.ts";

const COUNT = /^\d{1,10}$/;

/**
 * Wraps a body of raw numbers (row-major, little-endian) in the object of other codecs: `inputs` around the same bytes,
 * other fields from the query.
 * @throws WireError PURSUIT_INVALID_FIELD, PURSUIT_WRONG_LENGTH
 */
export function parseOctets(bytes: Uint8Array, { query, width }: OctetsForm): Record<string, unknown> {
  const { dtype, rows, ...rest } = query;
  if (typeof dtype !== "string" || !Object.hasOwn(DTYPES, dtype)) {
    const said = dtype === undefined ? "it is missing" : `it is ${named(String(dtype))}`;
    throw invalid(`dtype in the query must be one of ${Object.keys(DTYPES).join(", ")}; ${said}.`);
  }
  if (typeof rows !== "string" || !COUNT.test(rows) || Number(rows) === 0) {
    const said = rows === undefined ? "it is missing" : `it is ${named(String(rows))}`;
    throw invalid(`rows in the query must be the number of rows, 1 or more; ${said}.`);
  }
  const count = Number(rows);
  const size = FLOAT_BYTES[DTYPES[dtype as Dtype]];
  const columns = width ?? bytes.length / (count * size);
  const expected = count * columns * size;
  if (bytes.length !== expected || !Number.isInteger(columns)) {
    throw new WireError("PURSUIT_WRONG_LENGTH", wrongLength({ bytes: bytes.length, count, width, dtype, size }));
  }
  return { ...fieldsOfQuery(rest), inputs: { data: bytes, dtype, shape: [count, columns] } };
}

/**
 * Wraps a .npy body as {@link parseOctets} does; its header says dtype and shape. Fields are in the query.
 * @throws WireError PURSUIT_MALFORMED_BODY where it is no .npy file of little-endian floats in C order
 */
export function parseNpy(bytes: Uint8Array, query: Query): Record<string, unknown> {
  try {
    const header = parseNpyHeader(bytes);
    const dtype = NAMES[npyFloatType(header)];
    const { shape, fortranOrder, dataStart } = header;
    if (fortranOrder && shape.filter((size) => size !== 1).length > 1) {
      throw new NpyError("is in Fortran order. Save numpy.ascontiguousarray(array).");
    }
    return { ...fieldsOfQuery(query), inputs: { data: bytes.subarray(dataStart), dtype, shape } };
  } catch (error) {
    throw error instanceof NpyError ? new WireError("PURSUIT_MALFORMED_BODY", `The .npy body ${error.message}`) : error;
  }
}

/**
 * Divides the rows of a body of numbers alone into the two sets of a comparison: the first `rows_a` are a, the others b.
 * @param posted as {@link parseOctets} and {@link parseNpy} give it
 * @throws WireError PURSUIT_INVALID_FIELD
 */
export function inTwoSets({ inputs, rows_a: first, ...fields }: Record<string, unknown>): Record<string, unknown> {
  const { data, dtype, shape } = inputs as { data: Uint8Array; dtype: Dtype; shape: readonly number[] };
  const [count = 0, ...rest] = shape;
  if (typeof first !== "number" || !Number.isInteger(first) || first < 1 || first >= count) {
    const said =
      first === undefined
        ? "it is missing"
        : `it is ${typeof first === "number" ? first : named(JSON.stringify(first))}`;
    throw invalid(
      `rows_a in the query must be the number of rows of set a, from 1 to ${count - 1}; ${said}. The other rows are set b.`,
    );
  }
  const end = (data.length / count) * first;
  const setOf = (bytes: Uint8Array, rows: number) => ({ inputs: { data: bytes, dtype, shape: [rows, ...rest] } });
  return { ...fields, a: setOf(data.subarray(0, end), first), b: setOf(data.subarray(end), count - first) };
}

/** Names of the types that a .npy body may have. numpy has none for bfloat16. */
const NAMES = { F64: "float64", F32: "float32", F16: "float16", BF16: "bfloat16" } as const satisfies Record<
  FloatType,
  Dtype
>;

interface Length {
  readonly bytes: number;
  readonly count: number;
  readonly width: number | null;
  readonly dtype: string;
  readonly size: number;
}

function wrongLength({ bytes, count, width, dtype, size }: Length): string {
  if (width === null) return `The body is ${bytes} bytes, not a whole number of ${dtype} in each of ${count} rows.`;
  const expected = count * width * size;
  const said = `The body is ${bytes} bytes; ${count} rows of ${width} in ${dtype} take ${expected}.`;
  if (bytes === expected * 2 && dtype === "float32") {
    return `${said} It is twice as long, as float64 is: convert it, or say dtype=float64.`;
  }
  if (bytes * 2 === expected) return `${said} It is half as long: is it of another dtype?`;
  if (bytes % (width * size) === 0) return `${said} It holds ${bytes / (width * size)} such rows: is rows right?`;
  return said;
}

const BUDGET_PARTS = new Set(["max_atoms", "tolerance", "residual_norm", "min_gain", "group"]);
const NUMBERS = new Set([
  ...BUDGET_PARTS,
  "timeout_ms",
  "correlations",
  "rows_a",
  "limit",
  "permutations",
  "seed",
  "n",
]);

/** A query is as long as a header at most. */
const QUERY = fieldsExtent();

/** Numbers as in JSON. Other text stays text, and the schema reports it. */
const NUMBER = /^-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?$/;

/**
 * Reads the fields of a body of raw bytes from the query:
 * `max_atoms=16&tolerance=0.1&format=csr&include=trace,reconstruction&timeout_ms=1000`. Parts of a budget have their
 * own names. A value that starts with `[` or `{` is JSON: `budget=[{"max_atoms":4},…]` gives one per row. The schema of
 * all bodies checks them.
 * @throws WireError PURSUIT_INVALID_FIELD, and the errors of {@link parseJson}
 */
export function fieldsOfQuery(query: Query): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  const budget: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(query)) {
    if (typeof text !== "string") throw invalid(`The query names ${named(name)} more than once.`);
    const value = valueOf(name, text);
    if (BUDGET_PARTS.has(name)) budget[name] = value;
    else fields[name] = value;
  }
  if (Object.keys(budget).length === 0) return fields;
  if ("budget" in fields) {
    throw invalid(`The query holds budget and also ${Object.keys(budget).join(", ")}; give one or the other.`);
  }
  return { ...fields, budget };
}

function valueOf(name: string, text: string): unknown {
  if (name === "include") return text === "" ? [] : text.split(",");
  if (NUMBERS.has(name)) return NUMBER.test(text) ? Number(text) : text;
  if (text.startsWith("[") || text.startsWith("{")) return parseJson(Buffer.from(text), QUERY, `${name} in the query`);
  return text;
}

/** Writes rows as float32 bytes, row-major and little-endian: a decode answer. A view if they own their memory. */
export function writeRowsOctets({ data }: Rows): Uint8Array<ArrayBuffer> {
  return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
}
