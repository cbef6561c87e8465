import { stat } from "node:fs/promises";
import { join } from "node:path";
import { DICTIONARY_ID_PATTERN } from "../engine/core/dictionary.ts";
import { modelsFolder } from "../server/models-folder.ts";
import type { Settings } from "../server/settings.ts";

/** The folder of a dictionary that a command names. @throws Error where there is none */
export async function dictionaryFolder(id: string, { modelsDir }: Settings): Promise<string> {
  const folder = join(modelsFolder(modelsDir), id);
  if (new RegExp(DICTIONARY_ID_PATTERN).test(id) && (await stat(folder).catch(() => null))) return folder;
  throw new Error(
    `There is no dictionary ${id} in ${modelsDir}. PURSUIT_MODELS_DIR or --models-dir names another folder.`,
  );
}
