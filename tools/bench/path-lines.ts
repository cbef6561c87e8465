import { compareCode } from "../../src/engine/dictionaries/verify/compare-code.ts";
import type { ServedCode } from "../../src/engine/dictionaries/verify/step-margins.ts";
import type { PursuitWeights } from "../../src/engine/core/dictionary-weights.ts";
import type { PursuitPath } from "../../src/engine/core/dictionary.ts";
import type { ResultLine } from "./result-line.ts";
import type { Baseline, BaselineCodes } from "./baseline-process.ts";
import { ROOFLINE_GOAL } from "./roofline.ts";
import type { Shape } from "./shapes.ts";

/** A path as it was measured. */
export interface TimedPath {
  readonly shape: Shape;
  readonly batch: number;
  readonly path: PursuitPath;
  readonly us: number;
  readonly codes: readonly ServedCode[];
  readonly roofline: number | null;
}

/** A baseline as it was measured in the same rounds, at one batch or two. */
export interface TimedBaseline {
  readonly baseline: Baseline;
  readonly timed: readonly { readonly batch: number; readonly us: number; readonly codes: BaselineCodes }[];
}

/** A path's lines, one for each baseline at its better batch, without a ratio where codes disagree; and where they do. */
export function pathLines(
  { shape, batch, path, us, codes, roofline }: TimedPath,
  baselines: readonly TimedBaseline[],
  rows: Float32Array,
  weights: PursuitWeights,
): { readonly lines: readonly ResultLine[]; readonly notes: readonly string[] } {
  const { d, m, steps, goal } = shape;
  const common = { d, m, steps, batch, path, us_per_row: us };
  const limits = { goal, roofline_us: roofline, roofline_share: roofline === null ? null : roofline / us };
  if (baselines.length === 0) {
    const none = { baseline: "none", baseline_us_per_row: null, baseline_batch: null, ratio: null } as const;
    return { lines: [{ ...common, ...none, ...limits }], notes: [] };
  }
  const notes: string[] = [];
  const lines = baselines.map(({ baseline, timed }): ResultLine => {
    const why = timed.map((one) => disagreement(codes, one.codes, rows, weights)).find((text) => text !== null);
    if (why !== undefined) notes.push(`${path} and ${baseline} disagree: ${why}; no ratio`);
    const best = timed.reduce((fastest, one) => (one.us < fastest.us ? one : fastest));
    const ratio = why === undefined ? best.us / us : null;
    return { ...common, baseline, baseline_us_per_row: best.us, baseline_batch: best.batch, ratio, ...limits };
  });
  return { lines, notes };
}

/** Why codes of a baseline are not ours, or null. */
function disagreement(
  ours: readonly ServedCode[],
  theirs: BaselineCodes,
  rows: Float32Array,
  weights: PursuitWeights,
): string | null {
  const count = theirs.indptr.length - 1;
  if (count < 1) throw new Error("a baseline without codes");
  for (let i = 0; i < count; i++) {
    const z = new Float32Array(weights.m);
    for (let k = theirs.indptr[i]!; k < theirs.indptr[i + 1]!; k++) z[theirs.indices[k]!] = theirs.values[k]!;
    const verdict = compareCode(ours[i]!, rows.subarray(i * weights.d, (i + 1) * weights.d), z, weights);
    if (verdict.kind === "differs") return `row ${i}, selection ${verdict.at.step}, atom ${verdict.at.atom}`;
  }
  return null;
}

/** Whether the path in use reaches its goals. */
export function goalNotes(chosen: PursuitPath, lines: readonly ResultLine[]): string[] {
  const own = lines.filter(({ path }) => path === chosen);
  const notes: string[] = [];
  const rated = own.filter(({ ratio }) => ratio !== null);
  if (rated.length > 0) {
    const { ratio, baseline, goal } = rated.reduce((least, one) => (one.ratio! < least.ratio! ? one : least));
    if (goal !== null)
      notes.push(
        `${chosen}: ${ratio!.toFixed(1)} × the fastest baseline (${baseline}), goal ${goal}: ${ratio! >= goal ? "met" : "MISSED"}`,
      );
  }
  const share = own[0]?.roofline_share ?? null;
  if (share !== null && own[0]!.m >= ROOFLINE_GOAL.fromAtoms) {
    const met = share >= ROOFLINE_GOAL.share;
    notes.push(
      `${chosen}: ${share.toFixed(2)} of the roofline, goal ${ROOFLINE_GOAL.share}: ${met ? "met" : "MISSED"}`,
    );
  }
  return notes;
}
