import { rm } from "node:fs/promises";
import { freemem } from "node:os";
import { type ServedCode, servedCodes } from "../../src/engine/dictionaries/verify/step-margins.ts";
import type { PursuitWeights } from "../../src/engine/core/dictionary-weights.ts";
import type { EncodeBatch } from "../../src/engine/core/encode-batch.ts";
import type { EncoderSession } from "../../src/engine/runtime/process/encoder-session.ts";
import { PURSUIT_PATHS, type PursuitPath } from "../../src/engine/core/dictionary.ts";
import { choosePath, runsOn } from "../../src/engine/runtime/sessions/choose-path.ts";
import { batchOf } from "../../test/support/batch.ts";
import { buildGramFully } from "./build-gram-fully.ts";
import { createEncoderSession, DensePass, passOnce } from "./built.ts";
import { type Contestant, inTurn, median } from "./in-turn.ts";
import { oracleFault, oracleSample, type OracleSample } from "./oracle-sample.ts";
import { bytesOfPath, pathGroups } from "./path-groups.ts";
import type { ReadBandwidth } from "./read-bandwidth.ts";
import { goalNotes, pathLines } from "./path-lines.ts";
import { repeatedCall } from "./repeated-call.ts";
import type { ResultLine } from "./result-line.ts";
import { baselineAtShape, type BaselineEntry } from "./baseline-at-shape.ts";
import type { Baseline, BaselineProcess } from "./baseline-process.ts";
import { rooflineUs } from "./roofline.ts";
import { ruleVerdict } from "./rule-check.ts";
import { type Shape, workload, writeForBaselines } from "./shapes.ts";

/** Share of the free memory that paths held at once may take; the baselines need theirs. */
const MEMORY_SHARE = 0.75;

/** Where one round takes longer than so many seconds, three must do. */
const LONG_ROUND = 20;

export interface Bench {
  readonly runtime: "cpu" | "cuda";
  readonly batch: number;
  readonly threads: number;
  /** Rounds of which the median counts; not given: 5, or 3 of long ones. */
  readonly rounds?: number;
  /** Rows of one call, beside ours, of which each baseline is timed at what suits it best. */
  readonly baselineBatches: readonly number[];
  /** Seconds of one call of a baseline beyond which a larger batch is left out. */
  readonly longestCall: number;
  readonly oracleRows: number;
  readonly gramLimit: number;
  /** Null: no roofline. */
  readonly bandwidth: ReadBandwidth | null;
  readonly baselines: ReadonlyMap<Baseline, BaselineProcess>;
  /** A folder for what the baselines read. */
  readonly scratch: string;
  /** Says how far it is. */
  readonly progress: (text: string) => void;
}

export interface ShapeResult {
  readonly lines: readonly ResultLine[];
  /** What a reader of the lines must know. */
  readonly notes: readonly string[];
}

interface Opened {
  readonly path: PursuitPath;
  readonly session: EncoderSession;
  readonly codes: readonly ServedCode[];
}

interface BaselineReady {
  readonly baseline: Baseline;
  readonly entries: readonly BaselineEntry[];
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const nameOf = (baseline: Baseline, batch: number): string => `${baseline} ${batch}`;
const DENSE = "dense pass";
const READ = "read bandwidth";

/** Every path of ours and every baseline on one shape, timed in turn. */
export async function measureShape(shape: Shape, bench: Bench): Promise<ShapeResult> {
  const { batch, threads, runtime, progress } = bench;
  const notes: string[] = [];
  const work = await workload(shape, Math.max(batch, ...bench.baselineBatches));
  const { weights } = work;
  const { d, m } = weights;
  const rows = work.rows.subarray(0, batch * d);
  notes.push(work.origin);

  const ready = await baselinesReady(shape, work, bench, notes);
  progress("float64 oracle");
  const oracle = oracleSample(rows, weights, shape.steps, bench.oracleRows);

  const paths = PURSUIT_PATHS.filter((path) => runsOn(path, runtime));
  const memory = freemem() * MEMORY_SHARE;
  const groups = pathGroups(paths, d, m, memory);
  for (const path of paths) {
    if (groups.flat().includes(path)) continue;
    const gigabytes = (bytesOfPath(path, d, m) / 1e9).toFixed(1);
    notes.push(`path ${path} left out: ${gigabytes} GB do not fit`);
  }
  const dense = await DensePass.create(weights, { runtime, threads });
  const context = { shape, bench, weights, rows, oracle, ready, dense };
  const lines: ResultLine[] = [];
  for (const group of groups) {
    const found = await measureGroup(group, context);
    lines.push(...found.lines);
    notes.push(...found.notes);
  }
  await dense.release();
  const chosen = choosePath(m, { runtime, gramLimit: bench.gramLimit });
  const usPerRow = new Map(
    lines.flatMap(({ path, us_per_row }) => (path === "orthogonal" ? [] : [[path, us_per_row]])),
  );
  notes.push(ruleVerdict(chosen, usPerRow), ...goalNotes(chosen, lines));
  return { lines, notes };
}

interface GroupContext {
  readonly shape: Shape;
  readonly bench: Bench;
  readonly weights: PursuitWeights;
  /** [batch, d] */
  readonly rows: Float32Array;
  readonly oracle: OracleSample;
  readonly ready: readonly BaselineReady[];
  readonly dense: Awaited<ReturnType<typeof DensePass.create>>;
}

/** Paths that are held at once, in turn with the dense pass, the read bandwidth and all baselines. */
async function measureGroup(group: readonly PursuitPath[], context: GroupContext): Promise<ShapeResult> {
  const { shape, bench, weights, rows, ready, dense } = context;
  const { batch, bandwidth, progress } = bench;
  const { m, steps } = shape;
  const batchOfRows = { ...batchOf(rows, shape.d, { maxAtoms: steps }), trace: false };
  const notes: string[] = [];
  await passOnce(dense, rows);
  const denseCall = await repeatedCall(batch, () => passOnce(dense, rows));
  const contestants: Contestant[] = [{ name: DENSE, measure: denseCall.measure }];
  if (bandwidth !== null) contestants.push({ name: READ, measure: () => Promise.resolve(bandwidth.measure()) });
  let round = denseCall.seconds;
  const opened: Opened[] = [];
  for (const path of group) {
    progress(`opening ${path}`);
    const one = await openPath(path, weights, batchOfRows, context, notes);
    const { measure, seconds } = await repeatedCall(batch, () => one.session.encode(batchOfRows));
    opened.push(one);
    contestants.push({ name: path, measure });
    round += seconds;
  }
  for (const { baseline, entries } of ready) {
    for (const { batch: count, time, seconds } of entries) {
      contestants.push({ name: nameOf(baseline, count), measure: time });
      round += seconds;
    }
  }
  const rounds = bench.rounds ?? (round > LONG_ROUND ? 3 : 5);
  progress(`${rounds} rounds of ${contestants.length} in turn, ${round.toFixed(1)} s each or more`);
  const figures = await inTurn(contestants, rounds);
  const figure = (name: string): number => median(figures.get(name)!);
  for (const { session } of opened) await session.release();

  const denseUs = figure(DENSE);
  const bytesPerSecond = bandwidth === null ? null : figure(READ);
  const roofline = bytesPerSecond === null ? null : rooflineUs({ denseUs, steps, m, bytesPerSecond });
  const read = bytesPerSecond === null ? "" : `, read ${(bytesPerSecond / 1e9).toFixed(1)} GB/s`;
  notes.push(`${group.join(", ")}: median of ${rounds} rounds; dense pass ${denseUs.toFixed(1)} us/row${read}`);
  const baselines = ready.map(({ baseline, entries }) => ({
    baseline,
    timed: entries.map(({ batch: count, codes }) => ({ batch: count, codes, us: figure(nameOf(baseline, count)) })),
  }));
  const found = opened.map(({ path, codes }) =>
    pathLines({ shape, batch, path, us: figure(path), codes, roofline }, baselines, rows, weights),
  );
  return { lines: found.flatMap(({ lines }) => lines), notes: [...notes, ...found.flatMap((one) => one.notes)] };
}

/** The baselines that work on this shape. */
async function baselinesReady(
  shape: Shape,
  { weights, rows }: Awaited<ReturnType<typeof workload>>,
  { baselines, scratch, batch, threads, runtime, baselineBatches, longestCall, progress }: Bench,
  notes: string[],
): Promise<readonly BaselineReady[]> {
  const file = await writeForBaselines(scratch, weights, rows);
  const ready: BaselineReady[] = [];
  for (const [baseline, process] of baselines) {
    progress(`${baseline}: warming up`);
    try {
      const { steps } = shape;
      const task = { file, device: runtime, threads, steps, batch, otherBatches: baselineBatches, longestCall };
      const { entries, notes: more } = await baselineAtShape(process, baseline, task);
      ready.push({ baseline, entries });
      notes.push(...more);
    } catch (error) {
      notes.push(`${baseline} does not work here (tools/baselines/README.md): ${messageOf(error)}`);
    }
  }
  await rm(file);
  return ready;
}

async function openPath(
  path: PursuitPath,
  weights: PursuitWeights,
  batchOfRows: EncodeBatch,
  { bench, oracle }: GroupContext,
  notes: string[],
): Promise<Opened> {
  const { runtime, threads } = bench;
  const session = await createEncoderSession(weights, { runtime, threads, path });
  await buildGramFully(session);
  if (session.chosen.path !== path) throw new Error(`path ${path} turned out to be ${session.chosen.path}`);
  const traced = await session.encode({ ...batchOfRows, trace: true });
  const fault = oracleFault(traced, oracle);
  if (fault !== null) notes.push(`${path} and the float64 oracle disagree: ${fault}`);
  return { path, session, codes: servedCodes(traced) };
}
