import type { Command } from "commander";
import type { FeatureLabel } from "../engine/core/features.ts";
import { FEATURES_FILE, FeaturesFile, newMeta } from "../engine/dictionaries/features-file.ts";
import { readManifest } from "../engine/dictionaries/manifest.ts";
import { loadWeights } from "../engine/dictionaries/weights.ts";
import { readSettings } from "../server/config.ts";
import { dictionaryFolder } from "./dictionary-folder.ts";

interface Flags {
  readonly only?: string;
  readonly modelsDir?: string;
}

/** `pursuit labels`: labels of others → features.db in the dictionary's folder. */
export function registerLabels(program: Command): void {
  program
    .command("labels <id> <paths...>")
    .description(
      "add labels to a dictionary: ours, Neuronpedia's exports (.jsonl, .jsonl.gz, .json, folders), Delphi's runs",
    )
    .option("--only <name>", "of an export of several dictionaries: the source or module to take")
    .option("--models-dir <folder>", "folder of dictionary folders (PURSUIT_MODELS_DIR, default models)")
    .action((id: string, paths: readonly string[], flags: Flags) => run(id, paths, flags));
}

async function run(id: string, paths: readonly string[], { only, modelsDir }: Flags): Promise<void> {
  const settings = await readSettings({ logLevel: "error", ...(modelsDir !== undefined && { modelsDir }) });
  // Loaded here: they would slow every other command.
  const { readLabelFile } = await import("../bulk/label-files.ts");
  const { replaceLabels, writeFeatures } = await import("../bulk/features-writer.ts");
  const folder = await dictionaryFolder(id, settings);
  const manifest = await readManifest(folder, () => {});
  const { m } = manifest;
  const labels = new Map<number, FeatureLabel[]>();
  const sources = new Set<string>();
  for (const path of paths) {
    const read = await readLabelFile(path, { m, ...(only !== undefined && { only }) });
    for (const [index, own] of read.labels) labels.set(index, [...(labels.get(index) ?? []), ...own]);
    sources.add(read.source);
    const skipped = read.skipped > 0 ? `; ${read.skipped} entries without a usable text are left out` : "";
    console.log(`${path}: labels of ${read.labels.size} of ${m} features, from ${read.source}${skipped}.`);
  }
  const { sha256 } = await loadWeights(folder, manifest);
  const file = await FeaturesFile.open(folder, m);
  file?.close();
  if (file === null) {
    const meta = newMeta({ sha256, m, rows: 0 });
    await writeFeatures(folder, { meta, columns: {}, records: new Map(), texts: new Map(), labels });
  } else if (file.meta.sha256 === sha256) await replaceLabels(folder, labels, [...sources]);
  else
    throw new Error(
      `${folder}/${FEATURES_FILE} is of version ${file.meta.sha256.slice(0, 12)}…, the dictionary is ${sha256.slice(0, 12)}…. Make it anew with "pursuit stats", or delete it.`,
    );
  console.log(`${folder}/${FEATURES_FILE} holds them, in place of those that it had from ${[...sources].join(", ")}.`);
}
