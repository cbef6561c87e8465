import { rm } from "node:fs/promises";
import { orthogonalSettings } from "../../src/engine/core/dictionary.ts";
import type { OrthogonalWeights } from "../../src/engine/core/dictionary-weights.ts";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
import { batchOf } from "../../test/support/batch.ts";
import { buildGramFully } from "./build-gram-fully.ts";
import { createEncoderSession } from "./built.ts";
import { type Contestant, inTurn, median } from "./in-turn.ts";
import type { Bench, ShapeResult } from "./measure-shape.ts";
import { repeatedCall } from "./repeated-call.ts";
import type { ResultLine } from "./result-line.ts";
import {
  ORTHOGONAL_BASELINES,
  type OrthogonalBaseline,
  type BaselineCodes,
  BaselineProcess,
} from "./baseline-process.ts";
import { seeded, writeForBaselines } from "./shapes.ts";

const SHAPE = { d: 768, m: 4096, steps: 32 } as const;
const GOAL = 3;

/** Of the first rows so many are compared, with values within this share of the row's largest. */
const COMPARED = 64;
const CLOSE = 1e-4;

/** Share of compared rows that must be the same: where two scores tie, one wrong rounding leads elsewhere. */
const ALIKE = 0.9;

/** Batches of ours, and who is timed at each: the others take seconds a call at the first already. */
const BATCHES: readonly (readonly [number, readonly OrthogonalBaseline[]])[] = [
  [64, ORTHOGONAL_BASELINES],
  [512, ["SPAMS"]],
  [2048, ["SPAMS"]],
];
const ROUNDS = 3;

/** Orthogonal pursuit beside what people use for it, in turn. */
export async function measureOrthogonal(bench: Bench, python: string): Promise<ShapeResult> {
  const { d, m, steps } = SHAPE;
  const { threads, progress, scratch } = bench;
  const most = Math.max(...BATCHES.map(([batch]) => batch));
  const { weights: plain, rows, origin } = seeded(SHAPE, most);
  const settings = orthogonalSettings({ ...plain.settings, score: "absolute" });
  const weights: OrthogonalWeights = { ...plain, kind: "orthogonal_matching_pursuit", settings };
  const session = await createEncoderSession(weights, { runtime: "cpu", threads, path: "fused" });
  await buildGramFully(session);
  const file = await writeForBaselines(scratch, plain, rows);
  const process = new BaselineProcess(python, "orthogonal.py");
  const lines: ResultLine[] = [];
  const notes = [origin];
  try {
    await process.ask({ file, threads });
    for (const [batch, names] of BATCHES) {
      progress(`orthogonal pursuit, batch ${batch}`);
      const own = { ...batchOf(rows.subarray(0, batch * d), d, { maxAtoms: steps }), trace: false };
      const codes = await session.encode(own);
      const contestants: Contestant[] = [
        { name: "ours", measure: (await repeatedCall(batch, () => session.encode(own))).measure },
      ];
      const alike = new Map<OrthogonalBaseline, number>();
      for (const baseline of names) {
        const request = { baseline, steps, batch, repeats: 1 };
        try {
          const first = await process.ask<BaselineCodes>({ ...request, codes: COMPARED });
          alike.set(baseline, sameRows(codes, first));
          const measure = async (): Promise<number> => (await process.ask<BaselineCodes>(request)).us_per_row[0]!;
          contestants.push({ name: baseline, measure });
        } catch (error) {
          notes.push(`${baseline} does not work here (tools/baselines/README.md): ${(error as Error).message}`);
        }
      }
      const figures = await inTurn(contestants, ROUNDS);
      const us = median(figures.get("ours")!);
      for (const [baseline, same] of alike) {
        const theirs = median(figures.get(baseline)!);
        const ratio = same / COMPARED >= ALIKE ? theirs / us : null;
        notes.push(`batch ${batch}, ${baseline}: the same code in ${same} of ${COMPARED} rows`);
        lines.push({
          d,
          m,
          steps,
          batch,
          path: "orthogonal",
          us_per_row: us,
          baseline,
          baseline_us_per_row: theirs,
          baseline_batch: batch,
          ratio,
          goal: GOAL,
          roofline_us: null,
          roofline_share: null,
        });
      }
    }
  } finally {
    await process.close();
    await session.release();
    await rm(file);
  }
  return { lines, notes };
}

/** Rows of both that have the same atoms, with values as close as float32 leaves them. */
function sameRows(ours: SparseCodes, theirs: BaselineCodes): number {
  let same = 0;
  for (let i = 0; i + 1 < theirs.indptr.length; i++) {
    const [a, b] = [ours.indptr[i]!, ours.indptr[i + 1]!];
    const [c, e] = [theirs.indptr[i]!, theirs.indptr[i + 1]!];
    const values = ours.values.subarray(a, b);
    const allowed = CLOSE * values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const alike = (k: number): boolean =>
      ours.indices[a + k] === theirs.indices[c + k] && Math.abs(values[k]! - theirs.values[c + k]!) <= allowed;
    if (b - a === e - c && values.every((_, k) => alike(k))) same++;
  }
  return same;
}
