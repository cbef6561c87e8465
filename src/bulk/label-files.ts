import { createReadStream } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { createGunzip } from "node:zlib";
import { type FeatureLabel, MAX_LABEL } from "../engine/core/features.ts";
import { isObject } from "../engine/core/json-object.ts";
import { FormatError } from "../engine/dictionaries/formats/format-error.ts";
import { readJsonFile } from "../engine/dictionaries/formats/json-file.ts";
import { labelsOf } from "../engine/dictionaries/labels.ts";

/** Labels of one path, all of one source. */
export interface LabelFile {
  readonly source: string;
  readonly labels: ReadonlyMap<number, readonly FeatureLabel[]>;
  /** Entries without a usable text. */
  readonly skipped: number;
}

export interface LabelChoice {
  /** Features of the dictionary. */
  readonly m: number;
  /** Of several dictionaries in one export: Neuronpedia's source, such as 12-gemmascope-res-16k, or Delphi's module. */
  readonly only?: string;
}

const MAX_FILE_BYTES = 512 << 20;
/** A line with its embedding takes some kilobytes. */
const MAX_LINE = 1 << 20;
/** What Delphi writes where a model's answer held no label. */
const UNPARSED = "Explanation could not be parsed.";
const DELPHI = /^(.+)_latent(\d{1,10})\.txt$/;
const BATCH = /\.jsonl?(?:\.gz)?$/;

/**
 * Reads labels that others have written: our labels.json; explanations of Neuronpedia as lines, compressed lines, a list
 * or a folder of batches; a run of Delphi.
 * @throws FormatError that names the file and what is wrong; the system's error when it cannot be read
 */
export async function readLabelFile(path: string, choice: LabelChoice): Promise<LabelFile> {
  const found = new FoundLabels(path, choice);
  if ((await stat(path)).isDirectory()) return readFolder(path, found);
  const own = await readBatch(path, found);
  return own === undefined ? found.of("neuronpedia") : ownLabels(path, own, choice.m);
}

/** Reads explanations of Neuronpedia. @returns what a `.json` file holds in place of a list of them */
async function readBatch(path: string, found: FoundLabels): Promise<unknown> {
  if (!path.endsWith(".json")) return readLines(path, found);
  const { value } = await readJsonFile(path, MAX_FILE_BYTES);
  if (!Array.isArray(value)) return value;
  for (const [i, entry] of value.entries()) found.neuronpedia(entry, `${basename(path)} entry ${i}`);
  return undefined;
}

/** `labels.json` of a dictionary folder. */
function ownLabels(path: string, value: unknown, m: number): LabelFile {
  const { facts, warnings } = labelsOf(value, m);
  if (facts.size === 0) throw new FormatError(path, warnings[0] ?? "holds no labels.");
  const source = basename(path);
  const labels = Array.from(facts).flatMap(([index, { text, score }]): [number, FeatureLabel[]][] =>
    text === undefined ? [] : [[index, [{ text, source, ...(score !== undefined && { score }) }]]],
  );
  return { source, labels: new Map(labels), skipped: facts.size - labels.length };
}

async function readFolder(path: string, found: FoundLabels): Promise<LabelFile> {
  // Both keep them in a folder of this name, which may be given itself.
  const inside = join(path, "explanations");
  const folder = (await stat(inside).catch(() => null))?.isDirectory() ? inside : path;
  const names = (await readdir(folder)).toSorted();
  if (names.some((name) => DELPHI.test(name))) {
    const scores = folder === inside ? join(path, "scores") : join(path, "../scores");
    await readDelphi(folder, names, scores, found);
    return found.of("delphi");
  }
  // Batches are cut after sorting numbers as texts: every one of them may hold any feature.
  const batches = names.filter((name) => BATCH.test(name));
  if (batches.length === 0)
    throw new FormatError(path, "holds neither batches of Neuronpedia (.jsonl, .jsonl.gz, .json) nor a run of Delphi.");
  for (const name of batches) {
    const other = await readBatch(join(folder, name), found);
    if (other !== undefined) throw new FormatError(join(folder, name), "is not a list of explanations.");
  }
  return found.of("neuronpedia");
}

/** Lines of JSON, compressed or not, one at a time: an export may be far larger than its labels. */
async function readLines(path: string, found: FoundLabels): Promise<void> {
  let line = 0;
  for await (const text of linesOf(path)) {
    line++;
    if (text.trim() === "") continue;
    let entry: unknown;
    try {
      entry = JSON.parse(text);
    } catch {
      throw new FormatError(
        path,
        `line ${line} is not JSON. Labels come as JSON lines, a JSON list or a folder of them.`,
      );
    }
    found.neuronpedia(entry, `${basename(path)} line ${line}`);
  }
}

/** readline would hold a line of any length. */
async function* linesOf(path: string): AsyncGenerator<string> {
  const file = createReadStream(path);
  const bytes = path.endsWith(".gz") ? file.pipe(createGunzip()) : file;
  file.on("error", (error) => bytes.destroy(error));
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for await (const chunk of bytes) {
      const lines = (rest + decoder.decode(chunk as Buffer, { stream: true })).split("\n");
      rest = lines.pop()!;
      if (rest.length > MAX_LINE) throw new FormatError(path, `has a line of over ${MAX_LINE} characters.`);
      yield* lines;
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw code?.startsWith("Z_") ? new FormatError(path, `cannot be unpacked: ${message}.`) : error;
  }
  yield rest;
}

/** Reads `explanations/<module>_latent<i>.txt`, with the share of `scores/<scorer>/<the same>` that is correct. */
async function readDelphi(folder: string, names: readonly string[], scores: string, found: FoundLabels): Promise<void> {
  const scorers = await readdir(scores).catch(() => []);
  for (const name of names) {
    const [, module, index] = DELPHI.exec(name) ?? [];
    if (module === undefined || !found.takes(module)) continue;
    const { value } = await readJsonFile(join(folder, name), MAX_FILE_BYTES);
    const shares: number[] = [];
    for (const scorer of scorers) {
      const text = await readFile(join(scores, scorer, name), "utf8").catch(() => null);
      const share = text === null ? null : shareCorrect(text);
      if (share !== null) shares.push(share);
    }
    const score = shares.length === 0 ? undefined : shares.reduce((sum, share) => sum + share, 0) / shares.length;
    found.add(index!, value === UNPARSED ? "" : value, name, {
      source: "delphi",
      ...(score !== undefined && { score }),
    });
  }
}

/** Of the examples that a scorer judged; null where the file has none. */
function shareCorrect(text: string): number | null {
  let judged: unknown;
  try {
    judged = JSON.parse(text);
  } catch {
    return null;
  }
  const verdicts = (Array.isArray(judged) ? judged : []).flatMap((one: unknown) =>
    isObject(one) && typeof one["correct"] === "boolean" ? [one["correct"]] : [],
  );
  return verdicts.length === 0 ? null : verdicts.filter(Boolean).length / verdicts.length;
}

/** Collects labels by feature, and refuses those of several dictionaries or of a larger one. */
class FoundLabels {
  readonly #path: string;
  readonly #choice: LabelChoice;
  readonly #labels = new Map<number, FeatureLabel[]>();
  /** Dictionaries that were met. */
  readonly #names = new Set<string>();
  #skipped = 0;

  constructor(path: string, choice: LabelChoice) {
    this.#path = path;
    this.#choice = choice;
  }

  /** Whether labels of that dictionary are wanted. */
  takes(name: string): boolean {
    this.#names.add(name);
    return this.#choice.only === undefined || this.#choice.only === name;
  }

  /** An explanation of Neuronpedia, whose index is a text. */
  neuronpedia(entry: unknown, where: string): void {
    if (!isObject(entry)) throw new FormatError(this.#path, `${where} is no object with index and description.`);
    const { layer, index, description, explanationModelName: model, typeName: type } = entry;
    if (typeof layer === "string" && !this.takes(layer)) return;
    const author = [model, type].filter((part) => typeof part === "string" && part !== "").join(", ");
    this.add(index, description, where, { source: "neuronpedia", ...(author !== "" && { author }) });
  }

  /** @throws FormatError for a number that is none of a feature of this dictionary */
  add(index: unknown, text: unknown, where: string, label: Omit<FeatureLabel, "text">): void {
    const number = /^\d{1,10}$/.test(String(index)) ? Number(index) : Number.NaN;
    if (!(number < this.#choice.m)) {
      const range = `the dictionary's features are 0 to ${this.#choice.m - 1}`;
      throw new FormatError(this.#path, `${where} has the index ${JSON.stringify(index) ?? "none"}; ${range}.`);
    }
    const words = typeof text === "string" ? text.trim() : "";
    if (words === "" || words.length > MAX_LABEL) {
      this.#skipped++;
      return;
    }
    const labels = this.#labels.get(number) ?? [];
    labels.push({ text: words, ...label });
    this.#labels.set(number, labels);
  }

  /** @throws FormatError where they are of several dictionaries, or there are none */
  of(source: string): LabelFile {
    const { only } = this.#choice;
    const names = [...this.#names].toSorted();
    const listed = names.slice(0, 10).join(", ") + (names.length > 10 ? ", …" : "");
    if (only === undefined && names.length > 1)
      throw new FormatError(this.#path, `holds labels of ${listed}. Name one of them with --only.`);
    if (this.#labels.size === 0)
      throw new FormatError(
        this.#path,
        only === undefined ? "holds no labels." : `holds no labels of ${only}; it has ${listed}.`,
      );
    return { source, labels: this.#labels, skipped: this.#skipped };
  }
}
