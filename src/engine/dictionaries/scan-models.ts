import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { DICTIONARY_ID_PATTERN } from "../core/dictionary.ts";

const ID = new RegExp(DICTIONARY_ID_PATTERN);

export interface ModelsFolder {
  readonly dictionaries: readonly { readonly id: string; readonly folder: string }[];
  /** Sentences about entries that look like dictionaries but cannot be served. */
  readonly warnings: readonly string[];
}

/** Folders that file systems and tools create in a folder. */
const NOT_OURS = new Set(["lost+found", "System Volume Information", "$RECYCLE.BIN", "@eaDir", "__pycache__"]);

/**
 * Finds the dictionary folders in a models folder, by name; links to folders count. Files, links to files, hidden
 * folders (such as an unfinished import) and folders of the file system are ignored.
 * @throws Error that names the unreadable folder and its setting
 */
export async function scanModels(modelsDir: string): Promise<ModelsFolder> {
  const entries = await readdir(modelsDir).catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      `The models folder ${modelsDir} cannot be read (${error.code}). PURSUIT_MODELS_DIR or --models-dir names another.`,
    );
  });
  const dictionaries: { readonly id: string; readonly folder: string }[] = [];
  const warnings: string[] = [];
  for (const name of entries.toSorted()) {
    if (name.startsWith(".") || NOT_OURS.has(name)) continue;
    const folder = join(modelsDir, name);
    // Follows links.
    const found = await stat(folder).catch((error: NodeJS.ErrnoException) => error);
    if (found instanceof Error) {
      warnings.push(
        `${name} in ${modelsDir} is not served: it cannot be read (${found.code}). Is it a link to nowhere?`,
      );
    } else if (!found.isDirectory()) continue;
    else if (ID.test(name)) dictionaries.push({ id: name, folder });
    else {
      warnings.push(
        `The folder ${name} in ${modelsDir} is not served: its name is not a valid dictionary id. Rename it to letters, digits, ".", "_", "-".`,
      );
    }
  }
  return { dictionaries, warnings };
}

/** Finds the folder of one dictionary; null if it does not exist or the id is invalid. */
export async function findDictionaryFolder(modelsDir: string, id: string): Promise<string | null> {
  if (!ID.test(id)) return null;
  const folder = join(modelsDir, id);
  const found = await stat(folder).catch(() => null);
  return found?.isDirectory() ? folder : null;
}
