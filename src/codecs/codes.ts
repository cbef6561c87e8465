import type { CodesToDecode } from "../engine/core/sparse-codes.ts";
import { checkCount, describe, invalid, named, type RowLimits } from "./posted-rows.ts";
import { readNumbers } from "./number-column.ts";
import { WireError } from "./codec-error.ts";

/** What else a code of an encode answer holds: it may be posted back as it came, but in JSON a trace nests too deep. */
const IGNORED = new Set([
  "atoms",
  "steps",
  "residual_norm",
  "relative_error",
  "stop",
  "labels",
  "trace",
  "reconstruction",
]);

/**
 * `codes` of a decode request, checked number by number as rows are: a list of `{indices, values}`, or all of them in
 * compressed-row form, `{indptr, indices, values}`. Any list of numbers may come as `{data, dtype, shape: [k]}`.
 * @throws WireError PURSUIT_INVALID_FIELD, PURSUIT_INVALID_CODE, PURSUIT_TOO_MANY_ROWS
 */
export function readCodes(codes: unknown, limits: RowLimits): CodesToDecode {
  if (typeof codes === "object" && codes !== null && "indptr" in codes) return readColumns(codes, limits);
  if (!Array.isArray(codes)) throw invalid(`codes must be a list of {"indices", "values"}; it is ${describe(codes)}.`);
  if (codes.length === 0) throw invalid("codes holds no codes.");
  checkCount(codes.length, limits, "codes");
  const rows = codes.map(readCode);
  const indptr = new Uint32Array(rows.length + 1);
  for (const [i, { indices }] of rows.entries()) indptr[i + 1] = indptr[i]! + indices.length;
  const normed = rows.filter(({ norm }) => norm !== null).length;
  if (normed > 0 && normed < rows.length) throw invalid("codes: either every code carries a norm or none does.");
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
  if (normed === 0) return joined;
  return {
    ...joined,
    norm: {
      shift: Float32Array.from(rows, ({ norm }) => norm!.shift),
      scale: Float32Array.from(rows, ({ norm }) => norm!.scale),
    },
  };
}

/** Codes in compressed-row form. */
function readColumns(codes: object, limits: RowLimits): CodesToDecode {
  const { indptr: pointers, indices, values, norm, shape: _, ...rest } = codes as Record<string, unknown>;
  for (const key of Object.keys(rest)) {
    if (!IGNORED.has(key))
      throw invalid(`codes has no field ${named(key)}; it takes indptr, indices, values and norm.`);
  }
  const indptr = readNumbers(pointers, "codes.indptr", "index");
  const count = indptr.length - 1;
  if (count < 1) throw invalid("codes holds no codes: indptr has one entry more than there are rows.");
  checkCount(count, limits, "codes");
  const columns = {
    indices: readNumbers(indices, "codes.indices", "index"),
    values: readNumbers(values, "codes.values", "float"),
  };
  if (columns.indices.length !== columns.values.length) {
    const message = `codes holds ${columns.indices.length} indices and ${columns.values.length} values.`;
    throw new WireError("PURSUIT_INVALID_CODE", message);
  }
  if (indptr[0] !== 0 || indptr[count] !== columns.indices.length) {
    const message = `codes.indptr goes from ${indptr[0]} to ${indptr[count]}; it must go from 0 to ${columns.indices.length}.`;
    throw new WireError("PURSUIT_INVALID_CODE", message);
  }
  for (let row = 0; row < count; row++) {
    if (indptr[row]! <= indptr[row + 1]!) continue;
    throw new WireError("PURSUIT_INVALID_CODE", `codes.indptr falls after entry ${row}; it must ascend.`);
  }
  if (norm === undefined) return { count, indptr, ...columns };
  return { count, indptr, ...columns, norm: readNormColumns(norm, count) };
}

function readNormColumns(norm: unknown, count: number): NonNullable<CodesToDecode["norm"]> {
  const { shift, scale, ...rest } = (typeof norm === "object" && norm !== null ? norm : {}) as Record<string, unknown>;
  const columns = {
    shift: readNumbers(shift, "codes.norm.shift", "float"),
    scale: readNumbers(scale, "codes.norm.scale", "float"),
  };
  if (columns.shift.length !== count || columns.scale.length !== count || Object.keys(rest).length > 0) {
    throw invalid(`codes.norm must be {"shift", "scale"}, ${count} numbers each, as encode gave them.`);
  }
  return columns;
}

interface Code {
  readonly indices: Uint32Array;
  readonly values: Float32Array;
  readonly norm: { readonly shift: number; readonly scale: number } | null;
}

function readCode(code: unknown, row: number): Code {
  const at = `codes[${row}]`;
  if (typeof code !== "object" || code === null || Array.isArray(code)) {
    throw invalid(`${at} must be {"indices", "values"}; it is ${describe(code)}.`);
  }
  const { indices, values, norm, ...rest } = code as Record<string, unknown>;
  for (const key of Object.keys(rest)) {
    if (!IGNORED.has(key)) throw invalid(`${at} has no field ${named(key)}; it takes indices, values and norm.`);
  }
  const columns = {
    indices: readNumbers(indices, `${at}.indices`, "index"),
    values: readNumbers(values, `${at}.values`, "float"),
  };
  if (columns.indices.length !== columns.values.length) {
    const message = `${at} holds ${columns.indices.length} indices and ${columns.values.length} values.`;
    throw new WireError("PURSUIT_INVALID_CODE", message);
  }
  return { ...columns, norm: norm === undefined ? null : readNorm(norm, `${at}.norm`) };
}

function readNorm(norm: unknown, at: string): { shift: number; scale: number } {
  const { shift, scale, ...rest } = (typeof norm === "object" && norm !== null ? norm : {}) as Record<string, unknown>;
  if (!Number.isFinite(shift) || !Number.isFinite(scale) || Object.keys(rest).length > 0) {
    throw invalid(`${at} must be {"shift", "scale"}, two finite numbers, as encode gave them.`);
  }
  return { shift: shift as number, scale: scale as number };
}
