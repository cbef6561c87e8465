import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { DICTIONARY_ID_PATTERN } from "../core/dictionary.ts";

const ID = new RegExp(DICTIONARY_ID_PATTERN);

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
  return {
    dictionaries: names.filter((name) => ID.test(name)).map((id) => ({ id, folder: join(modelsDir, id) })),
    misnamed: names.filter((name) => !ID.test(name)),
  };
}

/** The folder of one dictionary; null where there is none, or where that is no id. */
export async function findDictionaryFolder(modelsDir: string, id: string): Promise<string | null> {
  if (!ID.test(id)) return null;
  const folder = join(modelsDir, id);
  const found = await stat(folder).catch(() => null);
  return found?.isDirectory() ? folder : null;
}
