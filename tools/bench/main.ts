/**
 * Matching pursuit on CPU against what people use now, every path of ours and every rival in the same run:
 *
 *     npm run bench -- --quick --python path/to/venv/bin/python
 *
 * See docs/benchmarks.md for what each column means.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, freemem, tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { encodeSafetensors } from "../../src/engine/catalog/formats/safetensors.ts";
import { compareCode } from "../../src/engine/catalog/verify/compare-code.ts";
import { servedCodes, type ServedCode } from "../../src/engine/catalog/verify/served-code.ts";
import { PURSUIT_PATHS, type PursuitPath } from "../../src/engine/engine.ts";
import type { EncodeBatch } from "../../src/engine/encode-batch.ts";
import type { EncoderSession } from "../../src/engine/executor/encoder-session.ts";
import { createEncoderSession } from "../../src/engine/executor/session/create-session.ts";
import { DensePass } from "../../src/engine/executor/session/dense-pass.ts";
import { batchOf } from "../../test/support/batch.ts";
import { type Rival, RIVALS, type RivalCodes, RivalProcess } from "./rival-process.ts";
import { type Shape, SHAPES, type Workload, workload } from "./shapes.ts";
import { table } from "./timing.ts";

process.env["ORT_DISABLE_TELEMETRY"] = "1";

interface Line {
  readonly d: number;
  readonly m: number;
  readonly steps: number;
  readonly batch: number;
  readonly path: PursuitPath;
  readonly us_per_row: number;
  readonly rival: Rival | "none";
  readonly rival_us_per_row: number | null;
  /** Null where there is no rival, or where the codes disagree. */
  readonly ratio: number | null;
  readonly goal: number;
  readonly roofline_us: number | null;
  readonly roofline_share: number | null;
}

const { quick, json, python, shapes, batch, rounds } = new Command()
  .option("--quick", "the first two shapes, fewer rounds, without torch.compile", false)
  .option("--json", "an array instead of the table", false)
  .option("--python <path>", "Python that has tools/rivals/requirements.txt", "python3")
  .option("--shapes <list>", "which shapes, counted from 1: 1,3")
  .option("--batch <rows>", "rows of one call", "128")
  .option("--rounds <count>", "rounds of which the median counts")
  .parse()
  .opts<{
    quick: boolean;
    json: boolean;
    python: string;
    shapes?: string;
    batch: string;
    rounds?: string;
  }>();

const BATCH = Number(batch);
const ROUNDS = Number(rounds ?? (quick ? 3 : 5));
const THREADS = availableParallelism();
/** Bytes of Gram matrix up to which all paths are held at once, so that they can be timed in turn. */
const TOGETHER = 2 ** 28;
/** No memory of a CPU is read so fast: a figure beyond it is a fault of the measurement. */
const FASTEST_READ = 2e12;

const notes: string[] = [];
const median = (times: readonly number[]): number => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]!;
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function microsecondsPerRow(call: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await call();
  return ((performance.now() - started) * 1000) / BATCH;
}

/** Bytes that a path takes at its largest: the graph's Gram matrix is held twice while it loads. */
function bytesOf(path: PursuitPath, { d, m }: Shape): number {
  const gram = { gram: 2, fused: 1, residual: 0, fused_residual: 0 }[path];
  return gram * 4 * m * m + 3 * 4 * m * d;
}

/** Why codes of a rival are not ours, or null. */
function disagreement(ours: readonly ServedCode[], theirs: RivalCodes, { weights, rows }: Workload): string | null {
  for (const [i, served] of ours.entries()) {
    const z = new Float32Array(weights.m);
    for (let k = theirs.indptr[i]!; k < theirs.indptr[i + 1]!; k++) z[theirs.indices[k]!] = theirs.values[k]!;
    const verdict = compareCode(served, rows.subarray(i * weights.d, (i + 1) * weights.d), z, weights);
    if (verdict.kind === "differs") return `row ${i}, selection ${verdict.at.step}, atom ${verdict.at.atom}`;
  }
  return null;
}

interface Opened {
  readonly path: PursuitPath;
  readonly session: EncoderSession;
  readonly codes: readonly ServedCode[];
  readonly times: number[];
}

async function openPath(path: PursuitPath, { weights }: Workload, batchOfRows: EncodeBatch): Promise<Opened> {
  const session = await createEncoderSession(weights, { runtime: "cpu", threads: THREADS, path });
  while ((await session.improve?.())?.more);
  const codes = servedCodes(await session.encode({ ...batchOfRows, trace: true }));
  await session.encode(batchOfRows);
  return { path, session, codes, times: [] };
}

async function measure(shape: Shape, rivals: RivalProcess, names: readonly Rival[], scratch: string): Promise<Line[]> {
  const label = `${shape.d}x${shape.m}`;
  const work = await workload(shape, BATCH);
  notes.push(`${label}: rows from ${work.origin}`);
  const { weights, rows } = work;
  const { d, m, center, atoms } = weights;
  const batchOfRows = { ...batchOf(rows, d, { maxAtoms: shape.steps }), trace: false };

  // Rivals get the rows centred: neither's centre is ours to define.
  const centred = Float32Array.from(rows, (x, i) => (center ? x - center[i % d]! : x));
  const file = join(scratch, `${label}.safetensors`);
  const tensors = { atoms: { shape: [m, d], data: atoms }, rows: { shape: [BATCH, d], data: centred } };
  await writeFile(file, encodeSafetensors(tensors));

  const live: Rival[] = [];
  let bandwidth: number | null = null;
  const answers = new Map<Rival, RivalCodes>();
  const ask = (rival: Rival, repeats: number): Promise<RivalCodes> =>
    rivals.ask<RivalCodes>({ rival, steps: shape.steps, batch: BATCH, repeats });
  try {
    await rivals.ask({ file, threads: THREADS });
    // Before any rival has run in the process: afterwards the figure was once seen to be impossible.
    const { bytes_per_s } = await rivals.ask<{ bytes_per_s: number }>({ read_mib: 1024, repeats: 3 });
    if (bytes_per_s < FASTEST_READ) bandwidth = bytes_per_s;
    else notes.push(`${label}: no roofline, as a read of ${(bytes_per_s / 1e9).toFixed(0)} GB/s is impossible`);
    for (const rival of names) {
      try {
        answers.set(rival, await ask(rival, 1));
        live.push(rival);
      } catch (error) {
        notes.push(`${label}: ${rival} does not work here: ${messageOf(error)}`);
      }
    }
  } catch (error) {
    notes.push(`${label}: no rivals (${python}, see tools/rivals/README.md): ${messageOf(error)}`);
  }

  const dense = await DensePass.create(weights, { runtime: "cpu", threads: THREADS });
  await dense.run(rows);
  const denseTimes: number[] = [];
  const feasible = PURSUIT_PATHS.filter((path) => {
    const fits = bytesOf(path, shape) < freemem() * 0.9;
    if (!fits) notes.push(`${label}: path ${path} left out: ${(bytesOf(path, shape) / 1e9).toFixed(1)} GB do not fit`);
    return fits;
  });
  const groups = 4 * m * m <= TOGETHER ? [feasible] : feasible.map((path) => [path]);
  const done: Opened[] = [];
  const rivalTimes = new Map<Rival, number[]>(live.map((rival) => [rival, []]));
  for (const group of groups) {
    const opened: Opened[] = [];
    for (const path of group) opened.push(await openPath(path, work, batchOfRows));
    // In turn, so that a change of the machine's speed meets all.
    for (let round = 0; round < ROUNDS; round++) {
      denseTimes.push(await microsecondsPerRow(() => dense.run(rows)));
      for (const { session, times } of opened) times.push(await microsecondsPerRow(() => session.encode(batchOfRows)));
      for (const rival of live) rivalTimes.get(rival)!.push(...(await ask(rival, 1)).us_per_row);
    }
    for (const { session } of opened) await session.release();
    done.push(...opened);
  }
  await dense.release();

  const roofline = bandwidth === null ? null : median(denseTimes) + (shape.steps * m * 4 * 1e6) / bandwidth;
  return done.flatMap(({ path, codes, times }): Line[] => {
    const ours = median(times);
    const common = { d, m, steps: shape.steps, batch: BATCH, path, us_per_row: ours };
    const limits = {
      goal: shape.goal,
      roofline_us: roofline,
      roofline_share: roofline === null ? null : roofline / ours,
    };
    if (live.length === 0) return [{ ...common, rival: "none", rival_us_per_row: null, ratio: null, ...limits }];
    return live.map((rival) => {
      const theirs = median(rivalTimes.get(rival)!);
      const why = disagreement(codes, answers.get(rival)!, work);
      if (why !== null) notes.push(`${label}: ${path} and ${rival} disagree: ${why}; no ratio`);
      return { ...common, rival, rival_us_per_row: theirs, ratio: why === null ? theirs / ours : null, ...limits };
    });
  });
}

const chosen = shapes
  ? shapes.split(",").map((n) => {
      const shape = SHAPES[Number(n) - 1];
      if (!shape) throw new Error(`--shapes ${n}: there are ${SHAPES.length}, counted from 1`);
      return shape;
    })
  : quick
    ? SHAPES.slice(0, 2)
    : SHAPES;
const scratch = await mkdtemp(join(tmpdir(), "pursuit-bench-"));
const rivals = new RivalProcess(python);
const lines: Line[] = [];
const names = quick ? RIVALS.filter((rival) => rival !== "torch.compile") : RIVALS;
if (quick) notes.push("torch.compile left out by --quick: it compiles for longer than that may take");
try {
  for (const shape of chosen) lines.push(...(await measure(shape, rivals, names, scratch)));
} finally {
  await rivals.close();
  await rm(scratch, { recursive: true, force: true });
}
const cell = (value: number | null): string | number => value ?? "-";
const head = "d m steps batch path us/row rival rival_us/row ratio goal roofline_us share".split(" ");
const body = lines.map((line) => [
  ...[line.d, line.m, line.steps, line.batch].map(String),
  line.path,
  line.us_per_row,
  line.rival,
  cell(line.rival_us_per_row),
  cell(line.ratio),
  String(line.goal),
  cell(line.roofline_us),
  cell(line.roofline_share),
]);
if (json) console.log(JSON.stringify(lines, null, 2));
else console.log(table([head, ...body]));
console.error([`${THREADS} threads, median of ${ROUNDS} rounds`, ...notes].join("\n"));
