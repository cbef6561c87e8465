import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { SafetensorsFile } from "./formats/safetensors.ts";

/** A dictionary's held-out rows to try, and what they are. */
export interface Examples {
  /** [n, d] */
  readonly rows: Float32Array;
  readonly texts: readonly string[];
}

/** The examples of a dictionary folder, or null where it has none that can be read: nothing depends on them. */
export async function readExamples(folder: string, d: number): Promise<Examples | null> {
  try {
    const texts: unknown = JSON.parse(await readFile(join(folder, "examples.json"), "utf8"));
    const file = await SafetensorsFile.open(join(folder, "examples.safetensors"));
    try {
      const shape = file.tensors.get("rows")?.shape;
      if (!Array.isArray(texts) || shape?.length !== 2 || shape[1] !== d || shape[0] !== texts.length) return null;
      return { rows: await file.readFloats("rows"), texts: texts.map(String) };
    } finally {
      await file.close();
    }
  } catch {
    return null;
  }
}
