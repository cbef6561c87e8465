import { stat } from "node:fs/promises";
import { basename, join, relative, resolve, sep } from "node:path";
import { glob } from "tinyglobby";
import { ROW_ENDINGS } from "./row-file.ts";

/** A file of rows that a user has named. */
export interface FoundFile {
  readonly path: string;
  /** Its path below the folder that was named, or below the glob's fixed part; with "/" between folders. */
  readonly name: string;
}

/** Endings that are taken from a folder: under the others, checkpoints of models stand beside rows. */
const FOLDER_ENDINGS = ROW_ENDINGS.filter((ending) => ![".bin", ".ckpt", ".pkl"].includes(ending));

/**
 * Files of rows by path, by folder (with the folders in it) and by glob, in the order of their names.
 * @throws Error when one matches nothing, or two files have one name
 */
export async function findRowFiles(patterns: readonly string[]): Promise<FoundFile[]> {
  const found = new Map<string, string>();
  for (const pattern of patterns) {
    const files = await filesOf(pattern);
    if (files.length === 0) {
      const endings = FOLDER_ENDINGS.map((ending) => `*${ending}`).join(", ");
      throw new Error(
        `${pattern} matches no file. A folder must hold ${endings}; quote a glob, so that it comes here as written.`,
      );
    }
    for (const { path, name } of files) {
      const other = found.get(name);
      if (other !== undefined && other !== path) {
        throw new Error(
          `${other} and ${path} would both be known as ${name}. Name the folder above them, or encode them apart.`,
        );
      }
      found.set(name, path);
    }
  }
  return Array.from(found, ([name, path]) => ({ path, name })).sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function filesOf(pattern: string): Promise<FoundFile[]> {
  const there = await stat(pattern).catch(() => null);
  if (there !== null && !there.isDirectory()) return [{ path: resolve(pattern), name: basename(pattern) }];
  const isFolder = there !== null;
  const base = resolve(isFolder ? pattern : fixedPart(pattern));
  const globs = isFolder
    ? FOLDER_ENDINGS.map((ending) => `**/*${ending}`)
    : [relative(base, resolve(pattern)).split(sep).join("/")];
  const names = await glob(globs, { cwd: base, caseSensitiveMatch: !isFolder, expandDirectories: false });
  return names.map((name) => ({ path: join(base, name), name }));
}

/** The folders of a glob before the first with a wildcard. */
function fixedPart(pattern: string): string {
  const parts = pattern.split("/");
  const wild = parts.findIndex((part) => /[*?[\]{}()!]/.test(part));
  const fixed = parts.slice(0, wild < 0 ? -1 : wild).join("/");
  return fixed === "" ? (pattern.startsWith("/") ? "/" : ".") : fixed;
}
