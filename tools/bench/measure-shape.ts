import { rm } from "node:fs/promises";
import { freemem } from "node:os";
import { compareCode } from "../../src/engine/catalog/verify/compare-code.ts";
import { servedCodes, type ServedCode } from "../../src/engine/catalog/verify/served-code.ts";
import type { PursuitWeights } from "../../src/engine/dictionary-weights.ts";
import type { EncodeBatch } from "../../src/engine/encode-batch.ts";
import type { EncoderSession } from "../../src/engine/executor/encoder-session.ts";
import { PURSUIT_PATHS, type PursuitPath } from "../../src/engine/engine.ts";
import { choosePath, runsOn } from "../../src/engine/executor/session/choose-path.ts";
import { createEncoderSession } from "../../src/engine/executor/session/create-session.ts";
import { DensePass } from "../../src/engine/executor/session/dense-pass.ts";
import { batchOf } from "../../test/support/batch.ts";
import { type Contestant, inTurn, median } from "./in-turn.ts";
import { oracleFault, oracleSample, type OracleSample } from "./oracle-sample.ts";
import { bytesOfPath, pathGroups } from "./path-groups.ts";
import type { ReadBandwidth } from "./read-bandwidth.ts";
import type { ResultLine } from "./result-line.ts";
import { rivalAtShape, type RivalEntry } from "./rival-at-shape.ts";
import type { Rival, RivalCodes, RivalProcess } from "./rival-process.ts";
import { ROOFLINE_GOAL, rooflineUs } from "./roofline.ts";
import { ruleVerdict } from "./rule-check.ts";
import { type Shape, workload, writeForRivals } from "./shapes.ts";

/** Share of the free memory that paths held at once may take; the rivals need theirs. */
const MEMORY_SHARE = 0.75;

/** A turn of ours lasts about so long: shorter calls are repeated, and their median is the turn's figure. */
const TURN_SECONDS = 0.2;
const MOST_REPEATS = 10;

/** Where one round takes longer than so many seconds, three must do. */
const LONG_ROUND = 20;

export interface Bench {
  readonly runtime: "cpu" | "cuda";
  readonly batch: number;
  readonly threads: number;
  /** Rounds of which the median counts; not given: 5, or 3 of long ones. */
  readonly rounds?: number;
  /** Rows of one call, beside ours, of which each rival is timed at what suits it best. */
  readonly rivalBatches: readonly number[];
  /** Seconds of one call of a rival beyond which a larger batch is left out. */
  readonly longestCall: number;
  readonly oracleRows: number;
  readonly gramLimitBytes: number;
  /** Null: no roofline. */
  readonly bandwidth: ReadBandwidth | null;
  readonly rivals: ReadonlyMap<Rival, RivalProcess>;
  /** A folder for what the rivals read. */
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
  /** Of one call. */
  readonly seconds: number;
}

interface RivalReady {
  readonly rival: Rival;
  readonly entries: readonly RivalEntry[];
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const nameOf = (rival: Rival, batch: number): string => `${rival} ${batch}`;
const DENSE = "dense pass";
const READ = "read bandwidth";

/** Every path of ours and every rival on one shape, timed in turn. */
export async function measureShape(shape: Shape, bench: Bench): Promise<ShapeResult> {
  const { batch, threads, runtime, progress, bandwidth } = bench;
  const { steps } = shape;
  const notes: string[] = [];
  const work = await workload(shape, Math.max(batch, ...bench.rivalBatches));
  const { weights } = work;
  const { d, m } = weights;
  const rows = work.rows.subarray(0, batch * d);
  const batchOfRows = { ...batchOf(rows, d, { maxAtoms: steps }), trace: false };
  notes.push(work.origin);

  const ready = await rivalsReady(shape, work, bench, notes);
  progress("float64 oracle");
  const oracle = oracleSample(rows, weights, steps, bench.oracleRows);

  const paths = PURSUIT_PATHS.filter((path) => runsOn(path, runtime));
  const memory = freemem() * MEMORY_SHARE;
  const groups = pathGroups(paths, d, m, memory);
  for (const path of paths) {
    if (groups.flat().includes(path)) continue;
    const gigabytes = (bytesOfPath(path, d, m) / 1e9).toFixed(1);
    notes.push(`path ${path} left out: ${gigabytes} GB do not fit`);
  }
  const dense = await DensePass.create(weights, { runtime, threads });
  const denseCall = await repeated(batch, () => dense.run(rows));
  const lines: ResultLine[] = [];
  const ours = new Map<PursuitPath, number>();
  for (const group of groups) {
    const opened: Opened[] = [];
    for (const path of group) {
      progress(`opening ${path}`);
      opened.push(await openPath(path, weights, batchOfRows, { oracle, ...bench }, notes));
    }
    const contestants: Contestant[] = [{ name: DENSE, measure: denseCall.measure }];
    if (bandwidth !== null) contestants.push({ name: READ, measure: () => Promise.resolve(bandwidth.measure()) });
    let round = denseCall.seconds;
    for (const { path, session } of opened) {
      const { measure, seconds } = await repeated(batch, () => session.encode(batchOfRows));
      contestants.push({ name: path, measure });
      round += seconds;
    }
    for (const { rival, entries } of ready) {
      for (const { batch: rivalBatch, time, seconds } of entries) {
        contestants.push({ name: nameOf(rival, rivalBatch), measure: time });
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
    for (const { path, codes } of opened) {
      const us = figure(path);
      ours.set(path, us);
      const common = { d, m, steps, batch, path, us_per_row: us };
      const limits = {
        goal: shape.goal,
        roofline_us: roofline,
        roofline_share: roofline === null ? null : roofline / us,
      };
      if (ready.length === 0) {
        lines.push({ ...common, rival: "none", rival_us_per_row: null, rival_batch: null, ratio: null, ...limits });
      }
      for (const { rival, entries } of ready) {
        const why = entries
          .map((entry) => disagreement(codes, entry.codes, rows, weights))
          .find((text) => text !== null);
        if (why !== undefined) notes.push(`${path} and ${rival} disagree: ${why}; no ratio`);
        const best = entries
          .map((entry) => ({ batch: entry.batch, us: figure(nameOf(rival, entry.batch)) }))
          .reduce((fastest, one) => (one.us < fastest.us ? one : fastest));
        lines.push({
          ...common,
          rival,
          rival_us_per_row: best.us,
          rival_batch: best.batch,
          ratio: why === undefined ? best.us / us : null,
          ...limits,
        });
      }
    }
  }
  await dense.release();
  const chosen = choosePath(m, { runtime, gramLimitBytes: bench.gramLimitBytes });
  notes.push(ruleVerdict(chosen, ours), ...goalNotes(chosen, lines));
  return { lines, notes };
}

/** The rivals that work on this shape. */
async function rivalsReady(
  shape: Shape,
  { weights, rows }: Awaited<ReturnType<typeof workload>>,
  { rivals, scratch, batch, threads, runtime, rivalBatches, longestCall, progress }: Bench,
  notes: string[],
): Promise<readonly RivalReady[]> {
  const file = await writeForRivals(scratch, weights, rows);
  const ready: RivalReady[] = [];
  for (const [rival, process] of rivals) {
    progress(`${rival}: warming up`);
    try {
      const { steps } = shape;
      const task = { file, device: runtime, threads, steps, batch, otherBatches: rivalBatches, longestCall };
      const { entries, notes: more } = await rivalAtShape(process, rival, task);
      ready.push({ rival, entries });
      notes.push(...more);
    } catch (error) {
      notes.push(`${rival} does not work here (tools/rivals/README.md): ${messageOf(error)}`);
    }
  }
  await rm(file);
  return ready;
}

async function openPath(
  path: PursuitPath,
  weights: PursuitWeights,
  batchOfRows: EncodeBatch,
  { runtime, threads, oracle }: Pick<Bench, "runtime" | "threads"> & { readonly oracle: OracleSample },
  notes: string[],
): Promise<Opened> {
  const session = await createEncoderSession(weights, { runtime, threads, path });
  while ((await session.improve?.())?.more);
  if (session.chosen.path !== path) throw new Error(`path ${path} turned out to be ${session.chosen.path}`);
  const traced = await session.encode({ ...batchOfRows, trace: true });
  const fault = oracleFault(traced, oracle);
  if (fault !== null) notes.push(`${path} and the float64 oracle disagree: ${fault}`);
  const started = performance.now();
  await session.encode(batchOfRows);
  return { path, session, codes: servedCodes(traced), seconds: (performance.now() - started) / 1000 };
}

/** A call repeated so that a turn lasts a while; the first call here warms it up. */
async function repeated(
  batch: number,
  call: () => Promise<unknown>,
): Promise<{ readonly measure: () => Promise<number>; readonly seconds: number }> {
  await call();
  const once = async (): Promise<number> => {
    const started = performance.now();
    await call();
    return (performance.now() - started) / 1000;
  };
  const seconds = await once();
  const repeats = Math.min(MOST_REPEATS, Math.max(1, Math.round(TURN_SECONDS / seconds)));
  const measure = async (): Promise<number> => {
    const taken: number[] = [];
    for (let i = 0; i < repeats; i++) taken.push(await once());
    return (median(taken) * 1e6) / batch;
  };
  return { measure, seconds: seconds * repeats };
}

/** Why codes of a rival are not ours, or null. */
function disagreement(
  ours: readonly ServedCode[],
  theirs: RivalCodes,
  rows: Float32Array,
  weights: PursuitWeights,
): string | null {
  const count = theirs.indptr.length - 1;
  if (count < 1) throw new Error("a rival without codes");
  for (let i = 0; i < count; i++) {
    const z = new Float32Array(weights.m);
    for (let k = theirs.indptr[i]!; k < theirs.indptr[i + 1]!; k++) z[theirs.indices[k]!] = theirs.values[k]!;
    const verdict = compareCode(ours[i]!, rows.subarray(i * weights.d, (i + 1) * weights.d), z, weights);
    if (verdict.kind === "differs") return `row ${i}, selection ${verdict.at.step}, atom ${verdict.at.atom}`;
  }
  return null;
}

/** Whether the path in use reaches its goals. */
function goalNotes(chosen: PursuitPath, lines: readonly ResultLine[]): string[] {
  const own = lines.filter(({ path }) => path === chosen);
  const notes: string[] = [];
  const rated = own.filter(({ ratio }) => ratio !== null);
  if (rated.length > 0) {
    const { ratio, rival, goal } = rated.reduce((least, one) => (one.ratio! < least.ratio! ? one : least));
    if (goal !== null)
      notes.push(
        `${chosen}: ${ratio!.toFixed(1)} × the fastest rival (${rival}), goal ${goal}: ${ratio! >= goal ? "met" : "MISSED"}`,
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
