import { join } from "node:path";
import { FormatError } from "./formats/format-error.ts";
import { readJsonFile } from "./formats/json-file.ts";
import { SafetensorsFile } from "./formats/safetensors.ts";

/** A dictionary's held-out rows to try, with their texts. */
export interface Examples {
  /** [n, d] */
  readonly rows: Float32Array;
  readonly texts: readonly string[];
}

const TEXTS_FILE = "examples.json";
const ROWS_FILE = "examples.safetensors";

/** Room for some rows, each with a sentence. */
const MAX_TEXTS_BYTES = 64 << 20;

/**
 * Reads the examples of a dictionary folder; null if there are none or they cannot be read: nothing depends on them.
 * @param d the dictionary's row length
 * @param warn gets the reason why present examples cannot be used
 */
export async function readExamples(
  folder: string,
  d: number,
  warn?: (sentence: string) => void,
): Promise<Examples | null> {
  try {
    const { value: texts } = await readJsonFile(join(folder, TEXTS_FILE), MAX_TEXTS_BYTES);
    const file = await SafetensorsFile.open(join(folder, ROWS_FILE));
    try {
      const shape = file.tensors.get("rows")?.shape;
      if (!Array.isArray(texts)) throw new FormatError(TEXTS_FILE, "is not a list of texts.");
      if (shape?.length !== 2 || shape[1] !== d || shape[0] !== texts.length) {
        const found = shape === undefined ? "no tensor rows" : `rows [${shape.join(", ")}]`;
        throw new FormatError(
          ROWS_FILE,
          `holds ${found}; ${TEXTS_FILE} has ${texts.length} texts, and rows are ${d} wide.`,
        );
      }
      return { rows: await file.readFloats("rows"), texts: texts.map(String) };
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT")
      warn?.(`${(error as Error).message} Examples are not used.`);
    return null;
  }
}
