/**
 * Matching pursuit on CPU against what people use now, every path of ours and every baseline in the same run:
 *
 *     npm run bench -- --quick --python path/to/venv/bin/python
 *
 * docs/benchmarks.md says what each column means.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { resolveSettings } from "../../src/server/settings.ts";
import { busyShare, QUIET } from "./busy-share.ts";
import { measureScaling } from "./scaling-checks.ts";
import { measureOnePass } from "./measure-one-pass.ts";
import { measureOwnCpu } from "./measure-own-cpu.ts";
import { measureOrthogonal } from "./measure-orthogonal.ts";
import { type Bench, measureShape, type ShapeResult } from "./measure-shape.ts";
import { ReadBandwidth } from "./read-bandwidth.ts";
import { jsonText, type ResultLine, tableHead, tableLine } from "./result-line.ts";
import { type Baseline, BASELINES, BaselineProcess } from "./baseline-process.ts";
import { chosenShapes } from "./shapes.ts";
import { table } from "./timing.ts";

process.env["ORT_DISABLE_TELEMETRY"] = "1";

interface Flags {
  readonly quick: boolean;
  readonly json: boolean;
  readonly python: string;
  readonly shapes?: string;
  readonly orthogonal: boolean;
  readonly onePass: boolean;
  readonly batch: number;
  readonly rounds?: number;
}

const { quick, json, python, shapes, orthogonal, onePass, batch, rounds } = new Command()
  .option("--quick", "the first two shapes, fewer rounds, without torch.compile and the scaling checks", false)
  .option("--json", "an array of the lines instead of the tables; without scaling checks", false)
  .option("--python <path>", "Python that has tools/baselines/requirements.txt", "python3")
  .option("--shapes <list>", "which shapes, counted from 1: 1,3")
  .option("--orthogonal", "orthogonal pursuit too, where --quick or --shapes leave it out", false)
  .option("--one-pass", "one-pass encoders alone", false)
  .option("--batch <rows>", "rows of one call", atLeastOne, 128)
  .option("--rounds <count>", "rounds of which the median counts", atLeastOne)
  .parse()
  .opts<Flags>();

/** Seconds of one call of a baseline beyond which its larger batches are left out. */
const LONGEST_CALL = { whole: 15, quick: 2 } as const;

const QUICK_ROUNDS = 3;

const threads = availableParallelism();
const asked = chosenShapes(shapes, quick);
const say = (text: string): void => (json ? console.error(text) : console.log(text));
const started = performance.now();
const scratch = await mkdtemp(join(tmpdir(), "pursuit-bench-"));

// Before the baselines start, who are no "other programs".
let busy = await busyShare();
const names = quick ? BASELINES.filter((baseline) => baseline !== "torch.compile") : BASELINES;
const baselines = new Map<Baseline, BaselineProcess>(names.map((name) => [name, new BaselineProcess(python)]));
const bandwidth = await ReadBandwidth.create(threads);
const bench: Bench = {
  runtime: "cpu",
  batch,
  threads,
  ...((rounds !== undefined || quick) && { rounds: rounds ?? QUICK_ROUNDS }),
  baselineBatches: [64, 256, 1024],
  longestCall: quick ? LONGEST_CALL.quick : LONGEST_CALL.whole,
  oracleRows: quick ? 2 : 8,
  gramLimit: resolveSettings().gramLimit,
  bandwidth,
  baselines,
  scratch,
  progress: (text) => console.error(`  [${((performance.now() - started) / 1000).toFixed(0)} s] ${text}`),
};
const lines: ResultLine[] = [];
try {
  say(`${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${threads} threads; Node ${process.version}; microseconds a row`);
  say(`\n${tableHead()}`);
  for (const shape of onePass ? [] : asked) {
    bench.progress(`${shape.d} × ${shape.m}, ${shape.steps} steps`);
    await print(await measureShape(shape, bench));
  }
  if (orthogonal || (!quick && !onePass && shapes === undefined)) await print(await measureOrthogonal(bench, python));
  if (!json && (onePass || (!quick && shapes === undefined))) {
    const measured = await measureOnePass(bench, python);
    console.log(`\n${measured.lines}`);
    for (const note of measured.notes) say(`    ${note}`);
    say(`    ${await measureOwnCpu(scratch)}`);
  }
  if (!quick && !json && !onePass) {
    const { checks, notes } = await measureScaling(bench);
    const body = checks.map(({ check, value, goal, of }) => [
      check,
      value,
      goal,
      value > 0 && value <= goal ? "met" : "MISSED",
      of,
    ]);
    console.log(`\n${table([["check", "value", "at most", "", "of"], ...body])}`);
    for (const note of notes) say(`    ${note}`);
  }
} finally {
  await Promise.all([...baselines.values()].map((baseline) => baseline.close()));
  await bandwidth.close();
  await rm(scratch, { recursive: true, force: true });
}
async function print(result: ShapeResult): Promise<void> {
  lines.push(...result.lines);
  for (const line of result.lines) if (!json) console.log(tableLine(line));
  for (const note of [busyNote("before", busy), ...result.notes]) say(`    ${note}`);
  busy = await busyShare();
}

if (json) console.log(jsonText(lines));
say(`    ${busyNote("after", await busyShare())}`);

function atLeastOne(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("It must be an integer of 1 or more.");
  return value;
}

function busyNote(when: string, share: number): string {
  const words = `other programs used ${(100 * share).toFixed(0)} % of the cores just ${when} this`;
  return share <= QUIET ? words : `${words}: NOT QUIET, not to be kept`;
}
