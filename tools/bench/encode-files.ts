/**
 * `pursuit encode-files` beside the engine alone: rows a second, and memory as the job goes on.
 *
 *     npm run build && npx tsx tools/bench/encode-files.ts --rows 1000000
 *
 * The job's input is one file of 100,000 seeded rows, linked as often as the rows need, so that a large job takes no
 * room on disk. The engine alone is the session that `npm run bench` times, in batches of 128 on every core, before and
 * after the job.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { link, mkdir, mkdtemp, open, rm } from "node:fs/promises";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { readManifest } from "../../src/engine/dictionaries/manifest.ts";
import { loadWeights } from "../../src/engine/dictionaries/weights.ts";
import { batchOf } from "../../test/support/batch.ts";
import { npyBytes } from "../../test/support/npy-bytes.ts";
import { childrenOf, cpuSeconds, residentMiB } from "../../test/support/process-figures.ts";
import { CLI } from "../../test/support/run-cli.ts";
import { random } from "../../test/support/seeded.ts";
import { buildGramFully } from "./build-gram-fully.ts";
import { createEncoderSession } from "./built.ts";
import { busyShare } from "./busy-share.ts";

process.env["ORT_DISABLE_TELEMETRY"] = "1";

const flags = new Command()
  .option("--rows <n>", "rows of the job", "1000000")
  .option("--max-atoms <k>", "budget", "8")
  .option("--dictionary <id>", "in models/", "minilm-wordnet-mp")
  .option("--format <format>", "of the shards", "safetensors")
  .parse()
  .opts<{ readonly rows: string; readonly maxAtoms: string; readonly dictionary: string; readonly format: string }>();

const ROWS_OF_FILE = 100_000;
const BATCH = 128;
const SECONDS = 10;

const folder = fileURLToPath(new URL(`../../models/${flags.dictionary}`, import.meta.url));
const { weights } = await loadWeights(folder, await readManifest(folder));
const d = weights.d;
const wanted = Number(flags.rows);
const steps = Number(flags.maxAtoms);
const scratch = await mkdtemp(join(tmpdir(), "pursuit-bench-"));

/** Rows of unit length from a seed. */
function unitRows(count: number, seed: number): Float32Array {
  const { normal } = random(seed);
  const rows = new Float32Array(count * d);
  for (let i = 0; i < count; i++) {
    const row = rows.subarray(i * d, (i + 1) * d);
    for (let j = 0; j < d; j++) row[j] = normal();
    const norm = Math.hypot(...row);
    for (let j = 0; j < d; j++) row[j]! /= norm;
  }
  return rows;
}

async function writeInput(to: string): Promise<void> {
  await mkdir(to);
  const first = join(scratch, "rows.npy");
  const handle = await open(first, "w");
  await handle.write(npyBytes([ROWS_OF_FILE, d], []));
  for (let at = 0; at < ROWS_OF_FILE; at += 1000) {
    const { buffer } = unitRows(1000, at);
    await handle.write(new Uint8Array(buffer));
  }
  await handle.close();
  for (let i = 0; i < Math.ceil(wanted / ROWS_OF_FILE); i++) {
    await link(first, join(to, `rows-${String(i).padStart(5, "0")}.npy`));
  }
}

interface Pace {
  /** Rows a second. */
  readonly rate: number;
  /** Microseconds of CPU a row, of all threads. Other programs change the rate more than this. */
  readonly cpu: number;
}

/** The pace of the engine's session over all of its batches. */
async function engineAlone(): Promise<Pace> {
  const session = await createEncoderSession(weights, {
    runtime: "cpu",
    threads: availableParallelism(),
    path: "fused",
  });
  await buildGramFully(session);
  const batch = { ...batchOf(unitRows(BATCH, 7), d, { maxAtoms: steps }), trace: false };
  await session.encode(batch);
  const [started, used] = [performance.now(), process.cpuUsage()];
  let rows = 0;
  for (; performance.now() - started < SECONDS * 1000; rows += BATCH) await session.encode(batch);
  const { user, system } = process.cpuUsage(used);
  const pace = { rate: (rows * 1000) / (performance.now() - started), cpu: (user + system) / rows };
  await session.release();
  return pace;
}

interface Line {
  readonly event: string;
  readonly rows: number;
  readonly rows_per_second: number;
}

const memoryOf = ({ pid }: ChildProcess): string => {
  const [own, runtime] = [residentMiB(pid!), childrenOf(pid!).reduce((sum, child) => sum + residentMiB(child), 0)];
  return `${own.toFixed(0)} + ${runtime.toFixed(0)} MiB`;
};

/** CPU seconds of the job and its runtime process so far. */
const cpuOf = ({ pid }: ChildProcess): number =>
  [pid!, ...childrenOf(pid!)].reduce((sum, child) => sum + cpuSeconds(child), 0);

const input = join(scratch, "in");
await writeInput(input);
const quiet = await busyShare();
console.log(
  `${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${availableParallelism()} threads, other programs used ${(quiet * 100).toFixed(0)} % of them; ${flags.dictionary}, d ${d}, ${steps} atoms a row`,
);
const before = await engineAlone();
const job = spawn(
  process.execPath,
  [
    CLI,
    "encode-files",
    input,
    "--dictionary",
    flags.dictionary,
    "--max-atoms",
    flags.maxAtoms,
    "--format",
    flags.format,
    "--out",
    join(scratch, "out"),
  ],
  { stdio: ["ignore", "pipe", "inherit"] },
);
const exited = once(job, "exit");
let done: Line | null = null;
let shown = 0;
/** CPU seconds at the first and the last line of progress, between which the rows were encoded. */
const used: { readonly rows: number; readonly seconds: number }[] = [];
for await (const text of createInterface({ input: job.stdout })) {
  const line = JSON.parse(text) as Line;
  if (line.event === "done") done = line;
  else used.push({ rows: line.rows, seconds: cpuOf(job) });
  if (line.event === "progress" && line.rows >= shown) {
    console.log(`  ${line.rows} rows, ${line.rows_per_second} a second; server + runtime ${memoryOf(job)}`);
    shown = line.rows + wanted / 10;
  }
}
await exited;
const after = await engineAlone();
await rm(scratch, { recursive: true });
const alone = (before.rate + after.rate) / 2;
const cpuAlone = (before.cpu + after.cpu) / 2;
const [first, last] = [used[0], used.at(-1)];
console.log(
  `engine alone: ${before.rate.toFixed(0)} rows a second before the job, ${after.rate.toFixed(0)} after; ${cpuAlone.toFixed(1)} µs of CPU a row`,
);
if (done === null) throw new Error("the job did not end");
console.log(
  `encode-files: ${done.rows} rows, ${done.rows_per_second} a second: ${(done.rows_per_second / alone).toFixed(2)} of the engine alone`,
);
if (first !== undefined && last !== undefined && last.rows > first.rows) {
  const cpu = ((last.seconds - first.seconds) * 1e6) / (last.rows - first.rows);
  console.log(`  ${cpu.toFixed(1)} µs of CPU a row: the engine alone takes ${(cpuAlone / cpu).toFixed(2)} of that`);
}
