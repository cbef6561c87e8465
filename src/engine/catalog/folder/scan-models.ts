import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DICTIONARY_ID_PATTERN } from "../../dictionary.ts";

export interface ModelsFolder {
  readonly dictionaries: readonly { readonly id: string; readonly folder: string }[];
  /** Folders whose names no path of the API could name. */
  readonly misnamed: readonly string[];
}

/**
 * The dictionary folders in a models folder, by name. Files and hidden folders, such as an import's half-written one,
 * are not looked at.
 * @throws Error that says which folder cannot be read and which setting names it.
 */
export async function scanModels(modelsDir: string): Promise<ModelsFolder> {
  const entries = await readdir(modelsDir, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      `The models folder ${modelsDir} cannot be read (${error.code}). PURSUIT_MODELS_DIR or --models-dir names another.`,
    );
  });
  const names = entries
    .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && !entry.name.startsWith("."))
    .map(({ name }) => name)
    .sort();
  const valid = new RegExp(DICTIONARY_ID_PATTERN);
  return {
    dictionaries: names.filter((name) => valid.test(name)).map((id) => ({ id, folder: join(modelsDir, id) })),
    misnamed: names.filter((name) => !valid.test(name)),
  };
}
