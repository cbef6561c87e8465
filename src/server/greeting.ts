import { mkdir, rename, writeFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { shortestFloats } from "../codecs/write-codes.ts";
import { Cancellation } from "../engine/core/cancellation.ts";
import { type Examples, readExamples } from "../engine/dictionaries/examples.ts";
import type { DictionaryStatus, Engine } from "../engine/engine.ts";

/** Rows that the first request shows, and the atoms of each. */
const SHOWN = 3;
const ATOMS = 8;

/** A few rows for newcomers to try, and their texts. */
interface TryableRows {
  readonly dictionary: string;
  /** Version that the rows were chosen for. */
  readonly sha256: string;
  readonly rows: readonly Float32Array[];
  readonly texts: readonly string[];
  /** Whether the dictionary has labels to show. */
  readonly labels: boolean;
}

/** Prints, once all loads are over, the dictionaries that are served, those that failed, the address and a line to try. */
export async function greet(
  base: string,
  engine: Engine,
  modelsDir: string,
  cacheDir: string,
  keyed: boolean,
): Promise<void> {
  const idsWhere = (test: (status: DictionaryStatus) => boolean): string[] =>
    engine.list().flatMap((status) => (test(status) ? [status.id] : []));
  const failed = idsWhere(({ state }) => state === "failed");
  const served = idsWhere(({ state, onDemand = false }) => state === "ready" || onDemand);
  const lines = ["", `Pursuit serves ${served.join(", ")} at ${base} (open it in a browser; API: ${base}/docs).`];
  if (failed.length > 0) lines.push(`It does not serve ${failed.join(", ")}: ${base}/v1/dictionaries says why.`);
  const tryable = await firstRows(engine, modelsDir);
  if (tryable !== null) {
    const { dictionary, texts } = tryable;
    // A line to try is not worth a server: a cache folder that cannot be written to leaves it out.
    const line = await writeFirstRequest(base, cacheDir, tryable, keyed).catch(() => null);
    if (line !== null) {
      const sentences = texts.map((text) => `  · ${text}`);
      lines.push("", `Encode ${texts.length} sentences that ${dictionary} has not seen:`, ...sentences, "", line, "");
    }
  }
  console.log(lines.join("\n"));
}

/** Examples of the first dictionary that has some: where it is labelled, those that labels say most about. */
async function firstRows(engine: Engine, modelsDir: string): Promise<TryableRows | null> {
  for (const { id, state, manifest, labels, sha256 } of engine.list()) {
    if (state !== "ready" || !manifest || sha256 === undefined) continue;
    const warn = (sentence: string): void => console.error(`${id}: ${sentence}`);
    const examples = await readExamples(resolve(modelsDir, id), manifest.dIn, warn);
    if (examples === null) continue;
    const all = [...examples.texts.keys()];
    const chosen = (labels ? await byLabels(engine, id, examples, manifest.dIn) : all).slice(0, SHOWN);
    return {
      dictionary: id,
      sha256,
      labels,
      rows: chosen.map((i) => examples.rows.subarray(i * manifest.dIn, (i + 1) * manifest.dIn)),
      texts: chosen.map((i) => examples.texts[i]!),
    };
  }
  return null;
}

/** Examples by the share of their code's values that labelled atoms hold, largest first. */
async function byLabels(engine: Engine, id: string, { rows, texts }: Examples, width: number): Promise<number[]> {
  const request = {
    rows: { data: rows, count: texts.length, width },
    budget: { maxAtoms: ATOMS },
    trace: false,
    reconstruction: false,
  };
  const context = { span: {}, cancellation: new Cancellation() };
  const { codes } = await engine.encode(id, request, context);
  const labels = engine.labels(id, codes.indices);
  const share = texts.map((_, i) => {
    let labelled = 0;
    let all = 0;
    for (let k = codes.indptr[i]!; k < codes.indptr[i + 1]!; k++) {
      all += Math.abs(codes.values[k]!);
      if (labels[k] !== null && labels[k]?.source !== "examples") labelled += Math.abs(codes.values[k]!);
    }
    return all === 0 ? 0 : labelled / all;
  });
  return [...share.keys()].sort((a, b) => share[b]! - share[a]! || a - b);
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
