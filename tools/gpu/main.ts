/**
 * Matching pursuit on an NVIDIA GPU against PyTorch, eager and compiled, on the same card:
 *
 *     tools/gpu/run.sh path/to/venv/bin/python
 *
 * which also runs the fidelity fixtures there, and prepares what this needs (tools/gpu/README.md).
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { inspectCudaProvider } from "../../src/engine/runtime/onnx/cuda-provider.ts";
import { resolveSettings } from "../../src/server/settings.ts";
import { median } from "../bench/in-turn.ts";
import { measureShape } from "../bench/measure-shape.ts";
import { type ResultLine, tableHead, tableLine } from "../bench/result-line.ts";
import { type Baseline, BASELINES, BaselineProcess } from "../bench/baseline-process.ts";
import { cardBytes } from "../bench/roofline.ts";
import { gpuFault } from "./gpu-fault.ts";

process.env["ORT_DISABLE_TELEMETRY"] = "1";

const SHAPES = [
  { d: 768, m: 24576, steps: 32, goal: null },
  { d: 2304, m: 32768, steps: 85, goal: null },
] as const;
const BATCHES = [64, 512, 4096] as const;
/** Times faster than the baseline that is aimed at. */
const GOALS: Readonly<Partial<Record<ResultLine["baseline"], number | null>>> = {
  overcomplete: 3,
  saelens: 3,
  "torch.compile": 1.5,
  none: null,
};
/** Far beyond any card's caches. */
const READ_MIB = 4096;

const { python } = new Command()
  .requiredOption("--python <path>", "Python that has tools/baselines/requirements.txt and sees the GPU")
  .parse()
  .opts<{ python: string }>();

const smi = spawnSync("nvidia-smi", ["--query-gpu=name,driver_version", "--format=csv,noheader"], { encoding: "utf8" });
const card = smi.status === 0 && smi.stdout.trim() !== "" ? smi.stdout.trim().split("\n")[0]! : null;
const fault = gpuFault(card, await inspectCudaProvider());
if (fault === null) await measure();
else {
  console.error(fault);
  process.exitCode = 1;
}

async function measure(): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "pursuit-gpu-"));
  const baselines = new Map<Baseline, BaselineProcess>(BASELINES.map((name) => [name, new BaselineProcess(python)]));
  const progress = (text: string): void => console.error(`  ${text}`);
  try {
    const bytesPerSecond = await bandwidthOf(baselines.get("overcomplete")!);
    console.log(`${card}, ${new Date().toISOString().slice(0, 10)}; reads ${(bytesPerSecond / 1e9).toFixed(0)} GB/s`);
    console.log("roofline: the bytes of a pursuit by the Gram matrix at that rate; share: of it, our time\n");
    console.log(tableHead());
    for (const shape of SHAPES) {
      for (const batch of BATCHES) {
        progress(`${shape.d} × ${shape.m}, batch ${batch}`);
        const { lines, notes } = await measureShape(shape, {
          runtime: "cuda",
          batch,
          threads: availableParallelism(),
          baselineBatches: [],
          longestCall: 0,
          oracleRows: 1,
          gramLimit: resolveSettings().gramLimit,
          bandwidth: null,
          baselines,
          scratch,
          progress,
        });
        for (const line of lines) console.log(tableLine(onCard(line, bytesPerSecond)));
        for (const note of notes) console.log(`    ${note}`);
      }
    }
  } finally {
    await Promise.all([...baselines.values()].map((baseline) => baseline.close()));
    await rm(scratch, { recursive: true, force: true });
  }
}

function onCard(line: ResultLine, bytesPerSecond: number): ResultLine {
  const roofline = (cardBytes(line) / bytesPerSecond) * 1e6;
  return {
    ...line,
    goal: GOALS[line.baseline] ?? null,
    roofline_us: roofline,
    roofline_share: roofline / line.us_per_row,
  };
}

/** PyTorch's float32 sum, which reads a card's memory as fast as anything does. */
async function bandwidthOf(baseline: BaselineProcess): Promise<number> {
  const asked = { read_mib: READ_MIB, repeats: 9, device: "cuda" };
  const { bytes_per_s } = await baseline.ask<{ bytes_per_s: number[] }>(asked);
  return median(bytes_per_s);
}
