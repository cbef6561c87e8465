import { Presets, SingleBar } from "cli-progress";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { EncodeProgress, FailedFile } from "../bulk/encode-files.ts";
import { SHARD_FORMATS, type ShardFormat } from "../bulk/shard-file.ts";
import { snakeCase } from "../engine/core/json-object.ts";
import { jobArray, readSettings } from "../server/config.ts";
import { addBudgetOptions, type BudgetFlags, budgetOf } from "./encode-options.ts";

interface Flags extends BudgetFlags {
  readonly dictionary: string;
  readonly out: string;
  readonly column?: string;
  readonly layer?: number;
  readonly rowsPerShard: number;
  readonly format: ShardFormat;
  readonly shard?: Shard;
  readonly modelsDir?: string;
}

/** `i/n`, or `n` alone where an array of jobs gives i. */
interface Shard {
  readonly index?: number;
  readonly count: number;
}

/** The engine must never refuse its only client: a wait is no fault here. */
const MAX_WAIT_MS = "86400000";

/** Nobody waits for a single row: large batches cost up to a quarter less CPU a row. */
const BATCH_MS = "250";

/** `pursuit encode-files`: files of rows → files of codes, on this machine and without HTTP. */
export function registerEncodeFiles(program: Command): void {
  const command = program
    .command("encode-files <files...>")
    .description(
      "encode files of activations into shards of codes: paths, folders and globs of .npy, .safetensors, Arrow, Parquet, .pt",
    )
    .requiredOption("--dictionary <id>", "dictionary to encode by")
    .requiredOption("--out <folder>", "folder for the shards; run again with the same to go on after an interruption")
    .option(
      "--column <name>",
      "column of Arrow and Parquet, or tensor of .safetensors, .npz and .pt, that holds the rows",
    )
    .option("--layer <i>", "of arrays (…, layers, d): the layer to encode, from 0 on", parseIndex)
    .option("--rows-per-shard <n>", "rows of one shard at most", parseRows, 100_000)
    .addOption(new Option("--format <format>", "format of the shards").choices(SHARD_FORMATS).default("safetensors"))
    .option(
      "--shard <i/n>",
      "encode every n-th shard from i on; n alone in a Kubernetes Indexed Job; in a Slurm array not needed",
      parseShard,
    )
    .option("--models-dir <folder>", "folder of dictionary folders (PURSUIT_MODELS_DIR, default models)");
  addBudgetOptions(command).action((files: readonly string[], flags: Flags) => run(files, flags));
}

async function run(patterns: readonly string[], flags: Flags): Promise<void> {
  const { dictionary, out, column, layer, rowsPerShard, format, encoder, modelsDir } = flags;
  const part = partOf(flags.shard);
  const settings = await readSettings({
    logLevel: "error",
    maxWaitMs: MAX_WAIT_MS,
    batchMs: BATCH_MS,
    ...(modelsDir !== undefined && { modelsDir }),
  });
  // Loaded here: they would slow every other command.
  const { findRowFiles } = await import("../bulk/find-files.ts");
  const { encodeFiles } = await import("../bulk/encode-files.ts");
  const { encoderOfRows, openEngine } = await import("./encode-here.ts");
  const files = await findRowFiles(patterns);
  const { engine, sha256 } = await openEngine(dictionary, settings);
  const progress = process.stderr.isTTY ? new ProgressBar() : new ProgressLines();
  try {
    const { manifest } = engine.status(dictionary);
    const width = manifest!.dIn;
    const budget = budgetOf(flags);
    const encode = encoderOfRows(engine, dictionary, budget, encoder);
    // Refuses a budget or an encoder before any file is read.
    await encode({ data: new Float32Array(width), count: 1, width });
    const made = {
      dictionary,
      sha256,
      budget: budget === null ? snakeCase(manifest!.defaultBudget ?? {}) : snakeCase(budget),
      encoder: encoder === undefined ? "own" : snakeCase(encoder),
    };
    const result = await encodeFiles({
      files,
      out,
      choice: { width, ...(column !== undefined && { column }), ...(layer !== undefined && { layer }) },
      settings: made,
      rowsPerShard,
      format,
      part,
      encode,
      onProgress: (now) => progress.show(now),
      onFailed: (failure) => progress.failed(failure),
    });
    progress.end(result);
    if (result.failed.length > 0) {
      throw new Error(
        `${result.failed.length} of ${files.length} files were not encoded whole: ${result.failed.map(({ name }) => name).join(", ")}. Mend them and run the command again: it goes on where it stopped.`,
      );
    }
  } finally {
    progress.stop();
    await engine.close();
  }
}

/** The part of the shards that this process does: --shard, or its place in an array of jobs. */
function partOf(given: Shard | undefined): { readonly index: number; readonly count: number } {
  const job = jobArray();
  const index = given?.index ?? job?.index;
  const count = given?.count ?? job?.count;
  if (index === undefined && count === undefined) return { index: 0, count: 1 };
  if (index === undefined)
    throw new Error(`--shard ${count} says how many parts there are, but not which is this: write --shard i/${count}.`);
  if (count === undefined)
    throw new Error(
      `JOB_COMPLETION_INDEX is ${index}: add --shard n, the Job's completions, so that each does its part.`,
    );
  if (!Number.isInteger(index) || index < 0 || index >= count)
    throw new Error(`--shard ${index}/${count}: parts are counted from 0 to ${count - 1}.`);
  return { index, count };
}

/** What has been done, how fast, and how long the rest will take. */
function paceOf(
  { total, resumed, rows }: EncodeProgress,
  started: number,
): { readonly rate: number; readonly left: number } {
  const rate = rows / Math.max((performance.now() - started) / 1000, 0.001);
  return { rate, left: rate === 0 ? 0 : (total - resumed - rows) / rate };
}

/** A bar with rate and time left, on a terminal. */
class ProgressBar {
  readonly #started = performance.now();
  readonly #bar = new SingleBar(
    {
      format: "  [{bar}] {percentage}% of {total} rows · {rate} rows/s · {left} s left",
      clearOnComplete: true,
      etaBuffer: 1,
    },
    Presets.shades_classic,
  );
  #shown = false;

  show(progress: EncodeProgress): void {
    const { rate, left } = paceOf(progress, this.#started);
    const words = { rate: Math.round(rate).toLocaleString("en"), left: Math.round(left) };
    if (!this.#shown) this.#bar.start(progress.total, progress.resumed, words);
    this.#shown = true;
    this.#bar.update(progress.resumed + progress.rows, words);
  }

  failed({ name, reason }: FailedFile): void {
    console.error(`\n${name}: ${reason}`);
  }

  end(progress: EncodeProgress): void {
    this.stop();
    const { rate } = paceOf(progress, this.#started);
    const { rows, resumed, entries, shards } = progress;
    const mean = rows === 0 ? "" : `, ${(entries / rows).toFixed(1)} atoms a row`;
    console.log(
      `${rows} rows encoded (${Math.round(rate)} a second${mean}), ${resumed} were there already: ${shards} shards.`,
    );
  }

  stop(): void {
    this.#bar.stop();
  }
}

/** Milliseconds between lines of progress. */
const LINE_MS = 5000;

/** A JSON object a line, where no terminal is. */
class ProgressLines {
  readonly #started = performance.now();
  #last = -Infinity;

  show(progress: EncodeProgress): void {
    if (performance.now() - this.#last < LINE_MS) return;
    this.#last = performance.now();
    this.#print("progress", progress);
  }

  failed({ name, reason }: FailedFile): void {
    console.log(JSON.stringify({ event: "failed", file: name, reason }));
  }

  end(progress: EncodeProgress): void {
    this.#print("done", progress);
  }

  stop(): void {}

  #print(event: string, progress: EncodeProgress): void {
    const { total, resumed, rows, entries, shards } = progress;
    const { rate, left } = paceOf(progress, this.#started);
    const line = {
      event,
      total,
      resumed,
      rows,
      shards,
      rows_per_second: Math.round(rate),
      seconds_left: Math.round(left),
    };
    console.log(JSON.stringify({ ...line, ...(rows > 0 && { mean_atoms: Number((entries / rows).toFixed(3)) }) }));
  }
}

function parseIndex(given: string): number {
  if (/^\d{1,6}$/.test(given)) return Number(given);
  throw new InvalidArgumentError("It must be an integer ≥ 0.");
}

function parseRows(given: string): number {
  if (/^[1-9]\d{0,8}$/.test(given)) return Number(given);
  throw new InvalidArgumentError("It must be an integer ≥ 1.");
}

function parseShard(given: string): Shard {
  const found = /^(?:(\d{1,6})\/)?([1-9]\d{0,5})$/.exec(given);
  if (found === null) throw new InvalidArgumentError("It must be i/n, such as 0/8, or n alone in an array of jobs.");
  return { ...(found[1] !== undefined && { index: Number(found[1]) }), count: Number(found[2]) };
}
