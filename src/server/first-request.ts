import { mkdir, rename, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { shortestFloats } from "../codecs/write-codes.ts";

/** A few rows for newcomers to try, and their texts. */
export interface TryableRows {
  readonly dictionary: string;
  /** Version that the rows were chosen for. */
  readonly sha256: string;
  readonly rows: readonly Float32Array[];
  readonly texts: readonly string[];
  /** Whether the dictionary has labels to show. */
  readonly labels: boolean;
}

/**
 * Writes an encode request of these rows beside the other generated files.
 * @param keyed whether the server requires a key: the line then has a placeholder for it
 * @returns the curl line that posts it; its path is relative to the start folder if that is shorter
 */
export async function writeFirstRequest(
  base: string,
  cacheDir: string,
  { dictionary, sha256, rows, labels }: TryableRows,
  keyed = false,
): Promise<string> {
  await mkdir(cacheDir, { recursive: true });
  const file = join(cacheDir, `try-${dictionary}-${sha256.slice(0, 12)}.json`);
  // Written to a sibling first: two servers with one cache folder must not see half a file.
  const partial = `${file}.${process.pid}`;
  const request = {
    inputs: rows.map(shortestFloats),
    budget: { max_atoms: 8 },
    include: labels ? ["labels", "summary"] : ["summary"],
  };
  await writeFile(partial, JSON.stringify(request));
  await rename(partial, file);
  const near = relative(process.cwd(), file);
  const path = near.length < file.length ? near : file;
  const key = keyed ? '-H "authorization: Bearer $KEY" ' : "";
  return `curl -s ${base}/v1/dictionaries/${dictionary}/encode ${key}-H 'content-type: application/json' -d ${shellWord(`@${path}`)}`;
}

/** A word for a POSIX shell, quoted if necessary. */
export const shellWord = (word: string): string =>
  /^[\w@./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
