import type { CodesToDecode } from "../../engine/engine.ts";
import { checkCount, describe, invalid, named, type RowLimits } from "./posted-rows.ts";
import { WireError } from "./wire-error.ts";

/** What else a code of an encode answer holds: it may be posted back as it came, but for a trace, which nests too deep. */
const IGNORED = new Set(["atoms", "steps", "residual_norm", "relative_error", "stop", "reconstruction"]);

/**
 * `codes` of a decode request in compressed-row form, checked number by number as rows are.
 * @throws WireError PURSUIT_INVALID_FIELD, PURSUIT_INVALID_CODE, PURSUIT_TOO_MANY_ROWS
 */
export function readCodes(codes: unknown, limits: RowLimits): CodesToDecode {
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

interface Code {
  readonly indices: readonly number[];
  readonly values: readonly number[];
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
  readNumbers(
    indices,
    `${at}.indices`,
    (value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32,
    "an integer ≥ 0",
  );
  readNumbers(values, `${at}.values`, Number.isFinite, "a finite number");
  if (indices.length !== values.length) {
    throw new WireError("PURSUIT_INVALID_CODE", `${at} holds ${indices.length} indices and ${values.length} values.`);
  }
  return { indices, values, norm: norm === undefined ? null : readNorm(norm, `${at}.norm`) };
}

function readNumbers(
  list: unknown,
  at: string,
  allowed: (value: number) => boolean,
  wanted: string,
): asserts list is number[] {
  if (!Array.isArray(list)) throw invalid(`${at} must be a list of numbers; it is ${describe(list)}.`);
  for (const [k, value] of list.entries()) {
    if (typeof value !== "number" || !allowed(value))
      throw invalid(`${at}[${k}] must be ${wanted}; it is ${describe(value)}.`);
  }
}

function readNorm(norm: unknown, at: string): { shift: number; scale: number } {
  const { shift, scale, ...rest } = (typeof norm === "object" && norm !== null ? norm : {}) as Record<string, unknown>;
  if (!Number.isFinite(shift) || !Number.isFinite(scale) || Object.keys(rest).length > 0) {
    throw invalid(`${at} must be {"shift", "scale"}, two finite numbers, as encode gave them.`);
  }
  return { shift: shift as number, scale: scale as number };
}
