import { isSystemError, shortageOf } from "../core/errors.ts";
import { join } from "node:path";
import type { FeatureFacts } from "../core/dictionary.ts";
import { MAX_LABEL } from "../core/features.ts";
import { isObject } from "../core/json-object.ts";
import { FormatError } from "./formats/format-error.ts";
import { readJsonFile } from "./formats/json-file.ts";

export const LABELS_FILE = "labels.json";

/** Room for a million features with a sentence each. */
const MAX_LABELS_BYTES = 512 << 20;

/**
 * `{"sha256", "<feature>": {"text", "score", "rate", …}}` by feature; other fields belong to other tools and are
 * ignored.
 */
export interface Labels {
  /** Version of the dictionary that they were made for; absent if the file does not say. */
  readonly sha256?: string;
  readonly facts: ReadonlyMap<number, FeatureFacts>;
  /** Parts left out, a sentence each: a bad label must not stop a dictionary. */
  readonly warnings: readonly string[];
}

/**
 * Reads the labels of a dictionary folder; null if there are none. @throws Error of a shortage: a later try may succeed
 */
export async function readLabels(folder: string, m: number): Promise<Labels | null> {
  try {
    return labelsOf((await readJsonFile(join(folder, LABELS_FILE), MAX_LABELS_BYTES)).value, m);
  } catch (error) {
    if (error instanceof FormatError) return unused(error.message);
    if (!isSystemError(error) || shortageOf(error) !== null) throw error;
    return error.code === "ENOENT" ? null : unused(`${LABELS_FILE} cannot be read: ${error.message}.`);
  }
}

/** Returns the labels if they belong to that version or name none; otherwise none, with a warning. */
export function labelsFor(labels: Labels, sha256: string): Labels {
  if (labels.sha256 === undefined || labels.sha256 === sha256) return labels;
  return unused(
    `${LABELS_FILE} was made for the version ${labels.sha256.slice(0, 12)}… and the dictionary is ${sha256.slice(0, 12)}…. ` +
      'If its features are the same, take "sha256" out of the file.',
  );
}

const unused = (why: string): Labels => ({ facts: new Map(), warnings: [`${why} It is not used.`] });

/** Reads the labels of a parsed file. Malformed parts of an entry are left out; the rest is kept. */
export function labelsOf(file: unknown, m: number): Labels {
  if (!isObject(file)) return unused(`${LABELS_FILE} is not a JSON object: {"<feature>": {"text": …}}.`);
  const facts = new Map<number, FeatureFacts>();
  const unknown: string[] = [];
  const parts: string[] = [];
  const { sha256, ...features } = file;
  if (sha256 !== undefined && typeof sha256 !== "string") return unused(`${LABELS_FILE}: sha256 must be a string.`);
  for (const [feature, entry] of Object.entries(features)) {
    const index = /^\d{1,10}$/.test(feature) ? Number(feature) : Number.NaN;
    if (!(index < m) || !isObject(entry)) {
      unknown.push(quoted(feature));
      continue;
    }
    const known = factsOf(entry, (part) => parts.push(`${quoted(feature)}.${part}`));
    if (Object.keys(known).length > 0) facts.set(index, known);
  }
  const warnings = [
    ...left(unknown, "entries", `features are 0 to ${m - 1}, and each entry is an object`),
    ...left(parts, "fields", `text is a string of 1 to ${MAX_LABEL} characters, score and rate are numbers`),
  ];
  return { ...(sha256 !== undefined && { sha256 }), facts, warnings };
}

function left(names: readonly string[], what: string, form: string): readonly string[] {
  if (names.length === 0) return [];
  const shown = names.slice(0, 5).join(", ");
  const more = names.length > 5 ? ", …" : "";
  return [`${LABELS_FILE}: ${names.length} ${what} are left out (${shown}${more}): ${form}.`];
}

const quoted = (feature: string): string => JSON.stringify(feature.slice(0, 40));

/** The well-formed parts of an entry. */
function factsOf(entry: Record<string, unknown>, leaveOut: (part: string) => void): FeatureFacts {
  // Python writes null for a missing part.
  const [text, score, rate] = [entry["text"] ?? undefined, entry["score"] ?? undefined, entry["rate"] ?? undefined];
  const isText = typeof text === "string" && text !== "" && text.length <= MAX_LABEL;
  const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
  if (text !== undefined && !isText) leaveOut("text");
  if (score !== undefined && !isNumber(score)) leaveOut("score");
  if (rate !== undefined && !isNumber(rate)) leaveOut("rate");
  return { ...(isText && { text }), ...(isNumber(score) && { score }), ...(isNumber(rate) && { rate }) };
}
