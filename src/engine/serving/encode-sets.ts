import type { FeatureCodes } from "../core/contrast.ts";
import type { DictionaryManifest } from "../core/dictionary.ts";
import { EngineError } from "../core/errors.ts";
import type { Rows } from "../core/rows.ts";
import type { ContrastSet, EncodeAnswer, EncodeRequest, SetsAnswer, SetsRequest } from "../engine.ts";
import { checkIndices } from "./check-codes.ts";
import { checkWidth } from "./check-rows.ts";
import { sliceCodes } from "../core/split-codes.ts";

/** The dictionary version that two sets are compared in. */
export interface SetsDictionary {
  readonly manifest: DictionaryManifest;
  readonly sha256: string;
  /** Through the queue, as any encode. */
  readonly encode: (request: EncodeRequest) => Promise<EncodeAnswer>;
}

/**
 * Encodes the rows of both sets in one request, so that one version makes all codes, and checks posted codes.
 * @throws EngineError PURSUIT_WRONG_WIDTH, PURSUIT_INVALID_CODE, and what encode throws
 */
export async function encodeSets(
  { a, b, budget, encoder }: SetsRequest,
  { manifest, sha256, encode }: SetsDictionary,
): Promise<SetsAnswer> {
  const sets = Object.entries({ a, b });
  const posted = sets.flatMap(([name, set]) => ("rows" in set ? [{ name, rows: set.rows }] : []));
  for (const [name, set] of sets) if ("codes" in set) checkIndices(set.codes, manifest.m, `${name}.codes`);
  for (const { rows } of posted) checkWidth(rows, manifest);
  if (posted.length === 0) return { a: codesOf(a), b: codesOf(b), m: manifest.m, sha256 };
  if (Array.isArray(budget)) {
    throw new EngineError("PURSUIT_BUDGET_OUT_OF_RANGE", "budget must be one for all rows of both sets.");
  }
  const request = { rows: joined(posted.map(({ rows }) => rows)), budget, trace: false, reconstruction: false };
  const { codes, pursuit, sha256: version } = await encode({ ...request, ...(encoder && { encoder }) });
  const part = (from: number, to: number): FeatureCodes =>
    sliceCodes(codes, { from, to, trace: false, reconstruction: false });
  const inA = "rows" in a ? a.rows.count : 0;
  return {
    a: "rows" in a ? part(0, inA) : codesOf(a),
    b: "rows" in b ? part(inA, codes.count) : codesOf(b),
    m: codes.width,
    ...(pursuit && { pursuit }),
    sha256: version,
  };
}

function codesOf(set: ContrastSet): FeatureCodes {
  if ("codes" in set) return set.codes;
  throw new Error("rows are encoded before their codes are compared");
}

function joined(parts: readonly Rows[]): Rows {
  const [first] = parts;
  if (first === undefined || parts.length === 1) return first!;
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const data = new Float32Array(count * first.width);
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    at += part.data.length;
  }
  return { data, count, width: first.width };
}
