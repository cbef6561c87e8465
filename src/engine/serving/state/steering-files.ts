import { lstat, readdir, readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { DICTIONARY_ID_PATTERN } from "../../core/dictionary.ts";
import { MAX_SET_BYTES, readSetFile, type StoredSet } from "../steering/set-file.ts";

export type StoreLog = (level: "info" | "warn" | "error", message: string, details: Record<string, unknown>) => void;

/** Steering sets of earlier releases: a file `<folder>/<dictionary>/<name>.json` each. */
const SUFFIX = ".json";
/** Begins the names of files that were being written when an earlier release ended. */
const PARTIAL = ".partial-";
const NAME = new RegExp(DICTIONARY_ID_PATTERN);

export interface FoundSet {
  readonly dictionary: string;
  readonly name: string;
  readonly set: StoredSet;
}

/** Reads every set of a folder; null where there is no folder. A file that is no set is left out, with a log line. */
export async function readSteeringFiles(folder: string, log: StoreLog): Promise<readonly FoundSet[] | null> {
  if (!(await isFolder(folder))) return null;
  const found: FoundSet[] = [];
  for (const dictionary of (await readdir(folder)).toSorted()) {
    const inside = join(folder, dictionary);
    if (!NAME.test(dictionary) || !(await isFolder(inside))) continue;
    for (const file of (await readdir(inside)).toSorted()) {
      if (file.startsWith(PARTIAL)) continue;
      const path = join(inside, file);
      try {
        const name = file.slice(0, -SUFFIX.length);
        if (!file.endsWith(SUFFIX) || !NAME.test(name)) throw new Error("its name is not a steering set's");
        const about = await lstat(path);
        if (!about.isFile()) throw new Error("it is not a plain file");
        if (about.size > MAX_SET_BYTES) throw new Error(`it is ${about.size} bytes long, over ${MAX_SET_BYTES}`);
        found.push({ dictionary, name, set: readSetFile(await readFile(path)) });
      } catch (error) {
        log("warn", `${path} is not a steering set (${(error as Error).message}); it is not taken over.`, {
          dictionary,
        });
      }
    }
  }
  return found;
}

/** Renames the folder, so that its sets are taken over once. @returns its new name */
export async function setFilesAside(folder: string): Promise<string> {
  for (let n = 0; ; n++) {
    const aside = `${folder}.taken-over${n === 0 ? "" : `-${n}`}`;
    if (await stat(aside).catch(() => null)) continue;
    await rename(folder, aside);
    return aside;
  }
}

const isFolder = (path: string): Promise<boolean> =>
  lstat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
