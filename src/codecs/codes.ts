import { CODE_COLUMNS, type CodesToDecode } from "../engine/core/sparse-codes.ts";
import type { Sizes } from "./read-body.ts";
import { checkCount, describe, invalid, named, type RowLimits, WireError } from "./codec-error.ts";
import { readNumbers } from "./rows.ts";
import { ANSWER_FIELDS } from "./write-codes.ts";

/** Fields of an answered code that decode ignores, so that a code may be posted back unchanged. */
const IGNORED: ReadonlySet<string> = new Set([
  ...CODE_COLUMNS.map(({ key: [field] }) => field),
  "atoms",
  "labels",
  "label_sources",
  // A line names its row.
  "id",
  // A csr answer has them beside its columns.
  ...ANSWER_FIELDS,
]);

/**
 * Reads `codes` of a decode request in every format of encode answers, and checks each number: a list of codes, each
 * `{indices, values}`, `{values: {"17": 0.3}}` (map) or `{values: […m]}` (dense), or columns `{indptr, indices,
 * values}` (csr). Any list of numbers may be `{data, dtype, shape: [k]}`.
 * @param sizes of the dictionary, null if not known yet
 * @param field name of the codes in the body
 * @throws WireError PURSUIT_INVALID_FIELD, PURSUIT_INVALID_CODE, PURSUIT_TOO_MANY_ROWS
 */
export function readCodes(
  codes: unknown,
  limits: RowLimits,
  sizes: Sizes | null = null,
  field = "codes",
): CodesToDecode {
  if (typeof codes === "object" && codes !== null && "indptr" in codes) return readColumns(codes, limits, field);
  if (!Array.isArray(codes))
    throw invalid(`${field} must be a list of {"indices", "values"}; it is ${describe(codes)}.`);
  if (codes.length === 0) throw invalid(`${field} holds no codes.`);
  checkCount(codes.length, limits, field);
  const rows = codes.map((code, row) => readCode(code, `${field}[${row}]`, sizes));
  const indptr = new Uint32Array(rows.length + 1);
  for (const [i, { indices }] of rows.entries()) indptr[i + 1] = indptr[i]! + indices.length;
  const joined = {
    count: rows.length,
    indptr,
    indices: new Uint32Array(indptr[rows.length]!),
    values: new Float32Array(indptr[rows.length]!),
  };
  for (const [i, { indices, values }] of rows.entries()) {
    joined.indices.set(indices, indptr[i]);
    joined.values.set(values, indptr[i]);
  }
  const norm = joinNorms(
    rows.map((row) => row.norm),
    field,
  );
  return norm === null ? joined : { ...joined, norm };
}

/** Codes in compressed-row form. */
function readColumns(codes: object, limits: RowLimits, field: string): CodesToDecode {
  const { indptr: pointers, indices, values, norm, ...rest } = codes as Record<string, unknown>;
  checkKeys(rest, field, "indptr, indices, values and norm");
  const indptr = readNumbers(pointers, `${field}.indptr`, "index");
  const count = indptr.length - 1;
  if (count < 1) throw invalid(`${field} holds no codes: indptr has one entry more than there are rows.`);
  checkCount(count, limits, field);
  const columns = readEntries(indices, values, field);
  if (indptr[0] !== 0 || indptr[count] !== columns.indices.length) {
    const message = `${field}.indptr goes from ${indptr[0]} to ${indptr[count]}; it must go from 0 to ${columns.indices.length}.`;
    throw new WireError("PURSUIT_INVALID_CODE", message);
  }
  for (let row = 0; row < count; row++) {
    if (indptr[row]! <= indptr[row + 1]!) continue;
    throw new WireError("PURSUIT_INVALID_CODE", `${field}.indptr falls after entry ${row}; it must ascend.`);
  }
  const read = norm === undefined ? null : readNorms(norm, count, `${field}.norm`);
  return read === null ? { count, indptr, ...columns } : { count, indptr, ...columns, norm: read };
}

type Norms = NonNullable<CodesToDecode["norm"]>;

/** Reads the norms of all rows: a list of `{shift, scale}`, as in JSON, or two columns, as in MessagePack. */
function readNorms(norm: unknown, count: number, at: string): Norms | null {
  if (Array.isArray(norm)) {
    if (norm.length !== count) throw invalid(`${at} holds ${norm.length} norms; there are ${count} codes.`);
    return joinNorms(
      norm.map((one, row) => readNorm(one, `${at}[${row}]`)),
      at,
    );
  }
  const { shift, scale, ...rest } = (typeof norm === "object" && norm !== null ? norm : {}) as Record<string, unknown>;
  const columns = {
    shift: readNumbers(shift, `${at}.shift`, "float"),
    scale: readNumbers(scale, `${at}.scale`, "float"),
  };
  if (columns.shift.length !== count || columns.scale.length !== count || Object.keys(rest).length > 0) {
    throw invalid(`${at} must be {"shift", "scale"}, ${count} numbers each, as encode gave them.`);
  }
  return columns;
}

type Norm = { readonly shift: number; readonly scale: number } | null;

/** null if no code has one. */
function joinNorms(norms: readonly Norm[], at: string): Norms | null {
  const normed = norms.filter((norm) => norm !== null);
  if (normed.length === 0) return null;
  if (normed.length < norms.length) throw invalid(`${at}: either every code carries a norm or none does.`);
  return {
    shift: Float32Array.from(normed, ({ shift }) => shift),
    scale: Float32Array.from(normed, ({ scale }) => scale),
  };
}

interface Entries {
  readonly indices: Uint32Array;
  readonly values: Float32Array;
}

function readCode(code: unknown, at: string, sizes: Sizes | null): Entries & { readonly norm: Norm } {
  if (typeof code !== "object" || code === null || Array.isArray(code)) {
    throw invalid(`${at} must be {"indices", "values"}; it is ${describe(code)}.`);
  }
  const { indices, values, norm, ...rest } = code as Record<string, unknown>;
  checkKeys(rest, at, "indices, values and norm");
  const read =
    indices !== undefined
      ? readEntries(indices, values, at)
      : isMap(values)
        ? readMap(values, `${at}.values`)
        : readDense(values, at, sizes);
  return { ...read, norm: norm === undefined ? null : readNorm(norm, `${at}.norm`) };
}

function readEntries(indices: unknown, values: unknown, at: string): Entries {
  const columns = {
    indices: readNumbers(indices, `${at}.indices`, "index"),
    values: readNumbers(values, `${at}.values`, "float"),
  };
  if (columns.indices.length === columns.values.length) return columns;
  const message = `${at} holds ${columns.indices.length} indices and ${columns.values.length} values.`;
  throw new WireError("PURSUIT_INVALID_CODE", message);
}

const isMap = (values: unknown): values is Readonly<Record<string, unknown>> =>
  typeof values === "object" && values !== null && !Array.isArray(values) && !("data" in values);

/** Format map: `{"17": 0.3}`. */
function readMap(values: Readonly<Record<string, unknown>>, at: string): Entries {
  const entries = Object.entries(values);
  const indices = entries.map(([key]) => (/^(?:0|[1-9]\d{0,9})$/.test(key) ? Number(key) : key));
  const wrong = indices.find((index) => typeof index === "string");
  if (wrong !== undefined) throw invalid(`${at} has the key ${named(wrong)}; each must be a feature's number.`);
  return {
    indices: readNumbers(indices, `${at}: key`, "index"),
    values: readNumbers(
      entries.map(([, value]) => value),
      at,
      "float",
    ),
  };
}

/** Format dense: one value per atom, zeros included. */
function readDense(values: unknown, at: string, sizes: Sizes | null): Entries {
  if (values === undefined) throw invalid(`${at}.indices must be a list of numbers; it is missing.`);
  const dense = readNumbers(values, `${at}.values`, "float");
  if (dense.length === 0) throw invalid(`${at}.indices must be a list of numbers; it is missing.`);
  if (sizes !== null && dense.length !== sizes.m) {
    const message = `${at} has no indices, and ${dense.length} values; a dense code has one for each of the ${sizes.m} atoms.`;
    throw new WireError("PURSUIT_INVALID_CODE", message);
  }
  const indices = Uint32Array.from(dense.keys()).filter((index) => dense[index] !== 0);
  return { indices, values: Float32Array.from(indices, (index) => dense[index]!) };
}

function readNorm(norm: unknown, at: string): Norm {
  const { shift, scale, ...rest } = (typeof norm === "object" && norm !== null ? norm : {}) as Record<string, unknown>;
  if (!Number.isFinite(shift) || !Number.isFinite(scale) || Object.keys(rest).length > 0) {
    throw invalid(`${at} must be {"shift", "scale"}, two finite numbers, as encode gave them.`);
  }
  return { shift: shift as number, scale: scale as number };
}

function checkKeys(rest: Readonly<Record<string, unknown>>, at: string, taken: string): void {
  const unknown = Object.keys(rest).find((key) => !IGNORED.has(key));
  if (unknown !== undefined) throw invalid(`${at} has no field ${named(unknown)}; it takes ${taken}.`);
}
