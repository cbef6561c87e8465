import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { encodeSafetensors } from "../../src/engine/dictionaries/formats/safetensors.ts";
import { writeModelFolder } from "./model-folder.ts";

const FIXTURES = fileURLToPath(new URL("../fixtures/embedder/", import.meta.url));

/** Folder of a tiny sentence-embedding model: mean pooling, unit length, lower case, 24 tokens. */
export const TINY_EMBEDDER = join(FIXTURES, "uncased");
export const TINY_MODEL = "test/tiny-uncased";
const D = 32;

const { texts, uncased } = JSON.parse(readFileSync(join(FIXTURES, "expected.json"), "utf8")) as {
  readonly texts: readonly string[];
  readonly uncased: { readonly rows: readonly (readonly number[])[] };
};

/** A text of the fixture, and its embedding by sentence-transformers. */
export const TINY_TEXT = texts[0]!;
export const TINY_ROW: readonly number[] = uncased.rows[0]!;

/** Axes of TINY_ROW by value, the largest first: what a pursuit over {@link writeTinyDictionary} selects. */
export const TINY_ORDER: readonly number[] = Array.from(TINY_ROW.keys())
  .filter((axis) => TINY_ROW[axis]! > 0)
  .sort((a, b) => TINY_ROW[b]! - TINY_ROW[a]!);

/** A dictionary whose atoms are the axes, over that model's embeddings, with one example. @returns its folder */
export function writeTinyDictionary(models: string, id: string, provenance = { sentence_model: TINY_MODEL }): string {
  const atoms = Float32Array.from({ length: D * D }, (_, at) => Number(at % (D + 1) === 0));
  const folder = writeModelFolder(models, id, { atoms, d: D, provenance });
  writeFileSync(join(folder, "labels.json"), JSON.stringify({ [TINY_ORDER[0]!]: { text: "the longest axis" } }));
  writeFileSync(join(folder, "examples.json"), JSON.stringify([TINY_TEXT]));
  const rows = { rows: { shape: [1, D], data: Float32Array.from(TINY_ROW) } };
  writeFileSync(join(folder, "examples.safetensors"), Buffer.concat(encodeSafetensors(rows)));
  return folder;
}
