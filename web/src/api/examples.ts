import { ask, dictionaryPath, Problem } from "./client.ts";

/** A held-out row to try. */
export interface Example {
  readonly text: string;
  readonly row: Float32Array;
}

/** A dictionary's examples; none where its folder has none. @throws Problem */
export async function loadExamples(id: string, signal: AbortSignal): Promise<readonly Example[]> {
  try {
    const { inputs, texts } = await ask<{ inputs: number[][]; texts: string[] }>(dictionaryPath(id, "/examples"), {
      signal,
    });
    return texts.map((text, i) => ({ text, row: Float32Array.from(inputs[i]!) }));
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return [];
    throw error;
  }
}
