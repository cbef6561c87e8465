import { rm } from "node:fs/promises";
import { resolve } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import type { Gathered } from "../bulk/gather-statistics.ts";
import { Cancellation } from "../engine/core/cancellation.ts";
import type { FeatureLabel } from "../engine/core/features.ts";
import { snakeCase } from "../engine/core/json-object.ts";
import { FeaturesFile, newMeta } from "../engine/dictionaries/features-file.ts";
import { loadWeights } from "../engine/dictionaries/weights.ts";
import { readSettings } from "../server/config.ts";
import { addBudgetOptions, type BudgetFlags, budgetOf } from "./encode-options.ts";
import { dictionaryFolder } from "./dictionary-folder.ts";

interface Flags extends BudgetFlags {
  readonly rows: readonly string[];
  readonly texts?: string;
  readonly classes?: string;
  readonly column?: string;
  readonly layer?: number;
  readonly examples: number;
  readonly sample: number;
  readonly map: boolean;
  readonly modelsDir?: string;
}

/** Largest values whose texts make a feature's description. */
const DESCRIBED_BY = 16;

/** The engine must never refuse its only client: a wait is no fault here. */
const MAX_WAIT_MS = "86400000";

/** `pursuit stats`: reference rows → features.db in the dictionary's folder. */
export function registerStats(program: Command): void {
  const command = program
    .command("stats <id>")
    .description("run reference rows through a dictionary, and write what each feature does into its features.db")
    .requiredOption("--rows <files...>", "paths, folders and globs of .npy, .safetensors, Arrow, Parquet, .pt")
    .option("--texts <file>", "a text a row: .txt, .jsonl, or a .json list")
    .option("--classes <file>", "a class a row, in the same formats")
    .option("--column <name>", "column or tensor that holds the rows, where a file has several")
    .option("--layer <i>", "of arrays (…, layers, d): the layer to take, from 0 on", parseCount)
    .option("--examples <n>", "examples kept of a feature", parseCount, 10)
    .option("--sample <n>", "rows over the range of its values", parseCount, 8)
    .option("--no-map", "do not lay the atoms out on a plane, which takes minutes for a large dictionary")
    .option("--models-dir <folder>", "folder of dictionary folders (PURSUIT_MODELS_DIR, default models)");
  addBudgetOptions(command).action((id: string, flags: Flags) => run(id, flags));
}

async function run(id: string, flags: Flags): Promise<void> {
  const { column, layer, encoder, modelsDir } = flags;
  const settings = await readSettings({
    logLevel: "error",
    maxWaitMs: MAX_WAIT_MS,
    ...(modelsDir !== undefined && { modelsDir }),
  });
  // Loaded here: they would slow every other command.
  const { findRowFiles } = await import("../bulk/find-files.ts");
  const { gatherStatistics } = await import("../bulk/gather-statistics.ts");
  const { readClasses } = await import("../bulk/read-texts.ts");
  const { openEngine } = await import("./encode-here.ts");
  const files = await findRowFiles(flags.rows);
  const classes = flags.classes === undefined ? undefined : await readClasses(flags.classes);
  const folder = await dictionaryFolder(id, settings);
  const { engine, sha256 } = await openEngine(id, settings);
  const { manifest } = engine.status(id);
  const { m, dIn } = manifest!;
  const budget = budgetOf(flags);
  const context = { span: {}, cancellation: new Cancellation() };
  const progress = new Progress();
  const made = {
    budget: snakeCase(budget ?? manifest!.defaultBudget ?? {}),
    encoder: encoder === undefined ? "own" : snakeCase(encoder),
  };
  const checkpoint = {
    path: resolve(settings.cacheDir, `stats-${id}-${sha256.slice(0, 12)}`),
    key: JSON.stringify({ ...made, sha256, column, layer, files, classes: classes?.names, version: 2 }),
  };
  let gathered: Gathered;
  try {
    gathered = await gatherStatistics({
      files,
      choice: { width: dIn, ...(column !== undefined && { column }), ...(layer !== undefined && { layer }) },
      m,
      top: Math.max(flags.examples, DESCRIBED_BY),
      ...(classes && { classes }),
      encode: async (rows) => {
        const work = { rows, budget, trace: false, reconstruction: false, ...(encoder && { encoder }) };
        return (await engine.encode(id, work, context)).codes;
      },
      checkpoint,
      onProgress: (done, total) => progress.show("rows", done, total),
    });
  } finally {
    await engine.close();
  }
  progress.end("rows", gathered.rows);

  const { recordsOf, describeFeatures, writeFeatures } = await import("../bulk/features-writer.ts");
  const built = recordsOf(gathered, flags);
  const tops = new Map(Array.from(built, ([index, { top }]) => [index, top.slice(0, DESCRIBED_BY)]));
  const named = new Set(
    Array.from(built.values(), ({ record }) =>
      [...record.examples, ...record.sample].filter((_, at) => at % 2 === 0),
    ).flat(),
  );
  const { texts, rates } = await textsOf(flags.texts, gathered.rows, named, tops);
  const described = rates === null ? new Map<number, FeatureLabel[]>() : describeFeatures(tops, texts, rates);
  for (const row of texts.keys()) if (!named.has(row)) texts.delete(row);
  const labels = await keptLabels(folder, m, sha256);
  for (const [index, own] of described) labels.set(index, [...(labels.get(index) ?? []), ...own]);

  const { count, sum, max } = gathered.tally.state;
  const rate = Float32Array.from(count, (rows) => rows / gathered.rows);
  const columns: Record<string, Float32Array> = {
    rate,
    mean: Float32Array.from(sum, (total, j) => (count[j] === 0 ? NaN : total / count[j]!)),
    max: max.map((value, j) => (count[j] === 0 ? NaN : value)),
  };
  if (flags.map) {
    const { mapAtoms } = await import("../bulk/atom-map.ts");
    const { weights } = await loadWeights(folder, manifest!);
    columns["map"] = await mapAtoms(weights, ({ done, total }) => progress.show("map", done, total));
    progress.end("map", m);
  }
  const measured = manifest!.role === "autoencoder";
  const meta = newMeta({
    sha256,
    m,
    rows: gathered.rows,
    ...made,
    ...(classes && { classes: classes.names }),
    figures: gathered.reference.figures(rate, measured),
  });
  const records = new Map(Array.from(built, ([index, { record }]) => [index, record]));
  await writeFeatures(folder, { meta, columns, records, texts, labels });
  await rm(checkpoint.path, { force: true });
  const { meanAtoms, explainedVariance } = meta.figures!;
  const variance =
    explainedVariance === null ? "" : `, ${(100 * explainedVariance).toFixed(1)} % of the variance explained`;
  console.log(
    `${folder}/features.db: ${records.size} of ${m} features are active in ${gathered.rows} rows; ${meanAtoms.toFixed(1)} atoms a row${variance}.`,
  );
}

/** Texts of the rows that are named, and how common words are in all of them. */
async function textsOf(
  path: string | undefined,
  rows: number,
  named: ReadonlySet<number>,
  tops: ReadonlyMap<number, readonly (readonly [number, number])[]>,
) {
  const texts = new Map<number, string>();
  if (path === undefined) return { texts, rates: null };
  const { readTexts } = await import("../bulk/read-texts.ts");
  const { WordRates } = await import("../bulk/example-words.ts");
  const wanted = new Set([...named, ...Array.from(tops.values()).flatMap((pairs) => pairs.map(([row]) => row))]);
  const rates = new WordRates();
  let row = 0;
  for await (const text of readTexts(path)) {
    rates.add(text);
    if (wanted.has(row)) texts.set(row, text);
    row++;
  }
  if (row !== rows) throw new Error(`--texts holds ${row} texts, --rows ${rows} rows; give a text a row.`);
  return { texts, rates };
}

/** Labels of the features file that is there, without those made from examples. */
async function keptLabels(folder: string, m: number, sha256: string): Promise<Map<number, FeatureLabel[]>> {
  const file = await FeaturesFile.open(folder, m).catch(() => null);
  if (file === null) return new Map();
  const labels = file.meta.sha256 === sha256 ? file.labels() : new Map<number, FeatureLabel[]>();
  file.close();
  for (const [index, own] of labels)
    labels.set(
      index,
      own.filter(({ source }) => source !== "examples"),
    );
  return labels;
}

/** Milliseconds between two lines of progress where no terminal is. */
const LINE_MS = 5000;

/** What has been done, on one line of a terminal, or now and then as a line. */
class Progress {
  readonly #started = performance.now();
  #last = -Infinity;

  show(what: string, done: number, total: number): void {
    const terminal = process.stderr.isTTY;
    if (performance.now() - this.#last < (terminal ? 200 : LINE_MS)) return;
    this.#last = performance.now();
    const line = `${what}: ${done} of ${total}, ${this.#seconds()} s`;
    process.stderr.write(terminal ? `\r${line}` : `${line}\n`);
  }

  end(what: string, total: number): void {
    process.stderr.write(`${process.stderr.isTTY ? "\r" : ""}${what}: ${total} done after ${this.#seconds()} s\n`);
  }

  #seconds(): string {
    return ((performance.now() - this.#started) / 1000).toFixed(1);
  }
}

function parseCount(given: string): number {
  if (/^\d{1,7}$/.test(given)) return Number(given);
  throw new InvalidArgumentError("It must be an integer ≥ 0.");
}
