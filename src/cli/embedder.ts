import type { Command } from "commander";
import type { OnnxEmbedder } from "../embedder/onnx-embedder.ts";
import { type Provenance, sentenceModelOf } from "../engine/core/dictionary.ts";
import { readManifest } from "../engine/dictionaries/manifest.ts";
import { readHubSettings, readSettings } from "../server/config.ts";
import type { Settings } from "../server/settings.ts";
import { dictionaryFolder } from "./dictionary-folder.ts";
import { Progress } from "./pull.ts";

/** `pursuit embedder`: makes sure that a dictionary's sentence-embedding model is on this machine. */
export function registerEmbedder(program: Command): void {
  program
    .command("embedder [id]")
    .description("fetch the sentence-embedding model that a dictionary names, for pursuit encode")
    .option("--models-dir <folder>", "folder of dictionary folders (PURSUIT_MODELS_DIR, default models)")
    .addHelpText(
      "after",
      "\nPURSUIT_EMBEDDER_DIR names a folder that holds the model; then nothing is fetched. HF_ENDPOINT, HF_TOKEN, HF_HUB_CACHE and\n" +
        "HF_HUB_OFFLINE are as for pursuit pull.",
    )
    .action(async (id: string | undefined, { modelsDir }: { readonly modelsDir?: string }) => {
      const settings = await readSettings(modelsDir === undefined ? {} : { modelsDir });
      const dictionary = id ?? SHIPPED;
      const { provenance } = await readManifest(await dictionaryFolder(dictionary, settings));
      const model = namedModel(dictionary, provenance);
      const folder = await modelFolder(model, settings);
      const { readSentenceModel } = await import("../embedder/sentence-model.ts");
      const { settings: how } = await readSentenceModel(folder);
      console.log(`${model}: ${folder}\n  ${how.pooling} pooling, ${how.maxTokens} tokens of a text at most`);
    });
}

/** The dictionary where none is named. */
export const SHIPPED = "minilm-wordnet-mp";

/** The sentence-embedding model of a dictionary. @throws Error where its provenance names none */
export function namedModel(id: string, provenance: Provenance): string {
  const model = sentenceModelOf(provenance);
  if (model !== null) return model;
  throw new Error(
    `${id} names no sentence-embedding model. If its rows are sentence embeddings, add "sentence_model": "owner/name" to provenance in its dictionary.json; otherwise encode rows: --rows.`,
  );
}

/** Folder of a model, which is fetched where this machine lacks it. */
async function modelFolder(model: string, settings: Settings): Promise<string> {
  // Loaded here: the hub's client would slow every other command.
  const { fetchModel, findModel } = await import("../embedder/find-model.ts");
  const hub = readHubSettings();
  const found = await findModel(model, { embedderDir: settings.embedderDir, hub });
  if (found !== null) return found;
  const progress = new Progress();
  try {
    return await fetchModel(model, hub, (file, done) => progress.show(file, done));
  } finally {
    progress.stop();
  }
}

/** Loads a model into this process. */
export async function openModel(model: string, settings: Settings): Promise<OnnxEmbedder> {
  const folder = await modelFolder(model, settings);
  const { openEmbedder } = await import("../embedder/onnx-embedder.ts");
  return openEmbedder(folder);
}
