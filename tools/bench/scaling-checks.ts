/**
 * The goals that stand beside the table of shapes, on the seeded dictionary of 768 × 4096 with rows of 32 planted atoms.
 */
import type { EncoderSession } from "../../src/engine/runtime/process/encoder-session.ts";
import type { SparseCodes } from "../../src/engine/core/sparse-codes.ts";
import { batchOf } from "../../test/support/batch.ts";
import { buildGramFully } from "./build-gram-fully.ts";
import { createEncoderSession, DensePass, passOnce } from "./built.ts";
import { type Contestant, inTurn, median } from "./in-turn.ts";
import type { Bench } from "./measure-shape.ts";
import { type ErrorCurve, toleranceForMean } from "./mean-tolerance.ts";
import { baselineAtShape } from "./baseline-at-shape.ts";
import { seeded, writeForBaselines } from "./shapes.ts";
import { straightLine } from "./straight-line.ts";

const SHAPE = { d: 768, m: 4096, steps: 32 } as const;

/** Steps of the code that may cost two dense passes, and of the single row. */
const CODE_STEPS = 16;
/** Atoms a row on average under the tolerance. */
const MEAN_ATOMS = 8;
const ROW_COUNTS = [32, 64, 128, 256, 512] as const;
const STEP_COUNTS = [4, 8, 16, 24, 32] as const;
const REPEATS = 10;

export interface ScalingCheck {
  readonly check: string;
  /** Not above 0 where noise has swallowed it. */
  readonly value: number;
  /** At most. */
  readonly goal: number;
  /** What the value was made of. */
  readonly of: string;
}

export async function measureScaling(
  bench: Bench,
): Promise<{ readonly checks: ScalingCheck[]; readonly notes: string[] }> {
  const { batch, threads, rounds = 5, progress } = bench;
  const notes: string[] = [];
  progress(`scaling checks on ${SHAPE.d} × ${SHAPE.m}`);
  const { weights, rows } = seeded(SHAPE, Math.max(batch, ...ROW_COUNTS));
  const { d } = weights;
  const options = { runtime: "cpu", threads } as const;
  const session = await createEncoderSession(weights, { ...options, path: "fused" });
  await buildGramFully(session);
  const dense = await DensePass.create(weights, options);

  /** Microseconds of one call. */
  const encode = (count: number, maxAtoms: number, tolerance = 0): (() => Promise<number>) => {
    const rowsOf = { ...batchOf(rows.subarray(0, count * d), d, { maxAtoms, tolerance }), trace: false };
    return () => callUs(() => session.encode(rowsOf));
  };
  const tolerance = await toleranceOf(session, rows.subarray(0, batch * d), d);
  const contestants: Contestant[] = [
    { name: "dense", measure: () => callUs(() => passOnce(dense, rows.subarray(0, batch * d))) },
    { name: "code", measure: encode(batch, CODE_STEPS) },
    { name: "forced", measure: encode(batch, SHAPE.steps) },
    { name: "tolerance", measure: encode(batch, SHAPE.steps, tolerance) },
    { name: "single", measure: encode(1, CODE_STEPS) },
    ...ROW_COUNTS.map((count) => ({ name: `rows ${count}`, measure: encode(count, CODE_STEPS) })),
    ...STEP_COUNTS.map((steps) => ({ name: `steps ${steps}`, measure: encode(batch, steps) })),
  ];
  const baselineNames: string[] = [];
  const file = await writeForBaselines(bench.scratch, weights, rows);
  for (const [baseline, process] of bench.baselines) {
    const task = {
      file,
      device: "cpu",
      threads,
      steps: CODE_STEPS,
      batch: 1,
      otherBatches: [],
      longestCall: 0,
    } as const;
    try {
      const [entry] = (await baselineAtShape(process, baseline, task)).entries;
      baselineNames.push(baseline);
      contestants.push({ name: baseline, measure: entry!.time });
    } catch (error) {
      notes.push(`${baseline} does not take a single row: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const figures = await inTurn(contestants, rounds);
  await session.release();
  await dense.release();

  const us = (name: string): number => median(figures.get(name)!);
  const line = (kind: "rows" | "steps", counts: readonly number[]): ScalingCheck => {
    const { base, slope, off } = straightLine(counts.map((count) => [count, us(`${kind} ${count}`)]));
    const of = `${base.toFixed(0)} us + ${slope.toFixed(1)} us a ${kind === "rows" ? "row" : "step"}`;
    return { check: `linear in ${kind}, ${counts.join(" ")}: farthest from the line`, value: off, goal: 0.15, of };
  };
  const passes = { check: `${CODE_STEPS}-step code over dense passes`, value: us("code") / us("dense"), goal: 2 };
  const loops = [us("tolerance") - us("dense"), us("forced") - us("dense")] as const;
  const early = {
    check: `loop at ${MEAN_ATOMS} atoms on average (tolerance ${tolerance.toFixed(3)}) over forced ${SHAPE.steps}`,
    value: loops[0] / loops[1],
    goal: 0.35,
  };
  const perRow = (value: number): string => (value / batch).toFixed(1);
  const checks: ScalingCheck[] = [
    { ...passes, of: `${perRow(us("code"))} and ${perRow(us("dense"))} us/row` },
    { ...early, of: `${perRow(loops[0])} and ${perRow(loops[1])} us/row` },
    line("rows", ROW_COUNTS),
    line("steps", STEP_COUNTS),
  ];
  if (baselineNames.length > 0) {
    const fastest = baselineNames.reduce((best, name) => (us(name) < us(best) ? name : best));
    const check = `a single row, ${CODE_STEPS} steps, over PyTorch's (${fastest})`;
    const of = `${us("single").toFixed(0)} and ${us(fastest).toFixed(0)} us`;
    checks.push({ check, value: us("single") / us(fastest), goal: 0.1, of });
  }
  return { checks, notes };
}

/** Under which rows end after MEAN_ATOMS steps on average. */
async function toleranceOf(session: EncoderSession, rows: Float32Array, d: number): Promise<number> {
  const codes = await session.encode(batchOf(rows, d, { maxAtoms: SHAPE.steps }));
  return toleranceForMean(errorCurves(codes, rows, d), MEAN_ATOMS);
}

/** @param rows of a dictionary without a centre */
function errorCurves({ count, trace }: SparseCodes, rows: Float32Array, d: number): ErrorCurve[] {
  if (!trace) throw new Error("the codes were encoded without a trace");
  return Array.from({ length: count }, (_, i) => {
    const norm = Math.hypot(...rows.subarray(i * d, (i + 1) * d));
    const norms = [...trace.residualNorms!.subarray(trace.indptr[i], trace.indptr[i + 1])];
    return [1, ...norms.map((left) => left / norm)];
  });
}

/** Microseconds of one call, the median of some. */
async function callUs(call: () => Promise<unknown>): Promise<number> {
  const taken: number[] = [];
  for (let i = 0; i < REPEATS; i++) {
    const started = performance.now();
    await call();
    taken.push((performance.now() - started) * 1000);
  }
  return median(taken);
}
