import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { FeatureFacts } from "../core/dictionary.ts";
import { isObject } from "../core/is-object.ts";
import { shortageOf } from "../core/shortage.ts";

export const LABELS_FILE = "labels.json";

/** A million features with a sentence each. */
const MAX_LABELS_BYTES = 512 << 20;

/** A sentence, not a page. */
const MAX_TEXT = 2000;

/** `{"<feature>": {"text", "score", "rate", …}}` by feature; other fields are a tool's own and are not looked at. */
export interface Labels {
  readonly facts: ReadonlyMap<number, FeatureFacts>;
  /** What was left out, a sentence each: a label is a comment, so a bad one costs nobody their codes. */
  readonly warnings: readonly string[];
}

/** The labels of a dictionary folder; null where it has none. @throws Error of a shortage: a later try may read them */
export async function readLabels(folder: string, m: number): Promise<Labels | null> {
  let text: string;
  try {
    text = await readFile(join(folder, LABELS_FILE), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    if (shortageOf(error) !== null) throw error;
    return { facts: new Map(), warnings: [`${LABELS_FILE} cannot be read: ${(error as Error).message}.`] };
  }
  return parseLabels(text, m);
}

/** The same from the file's text. */
export function parseLabels(text: string, m: number): Labels {
  const none = (why: string): Labels => ({ facts: new Map(), warnings: [`${LABELS_FILE} ${why}; it is not used.`] });
  if (text.length > MAX_LABELS_BYTES) return none(`is over ${MAX_LABELS_BYTES} bytes`);
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch (error) {
    return none(`is not JSON (${(error as Error).message})`);
  }
  if (!isObject(file)) return none("is not a JSON object");
  const facts = new Map<number, FeatureFacts>();
  const left: string[] = [];
  for (const [feature, entry] of Object.entries(file)) {
    const index = /^\d{1,10}$/.test(feature) ? Number(feature) : Number.NaN;
    const known = index < m ? factsOf(entry) : null;
    if (known === null) left.push(feature);
    else facts.set(index, known);
  }
  if (left.length === 0) return { facts, warnings: [] };
  const shown = left.slice(0, 5).map((feature) => JSON.stringify(feature.slice(0, 40)));
  return {
    facts,
    warnings: [
      `${LABELS_FILE}: ${left.length} entries are left out (${shown.join(", ")}${left.length > 5 ? ", …" : ""}): ` +
        `features are 0 to ${m - 1}, text is a string, score and rate are numbers.`,
    ],
  };
}

function factsOf(entry: unknown): FeatureFacts | null {
  if (!isObject(entry)) return null;
  const { text, score, rate } = entry;
  if (text !== undefined && !(typeof text === "string" && text !== "" && text.length <= MAX_TEXT)) return null;
  if (![score, rate].every((value) => value === undefined || Number.isFinite(value))) return null;
  return {
    ...(text !== undefined && { text }),
    ...(score !== undefined && { score: score as number }),
    ...(rate !== undefined && { rate: rate as number }),
  };
}
