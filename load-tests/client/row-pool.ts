import { join } from "node:path";
import { readExamples } from "../../src/engine/dictionaries/examples.ts";
import { readManifest } from "../../src/engine/dictionaries/manifest.ts";
import { loadWeights } from "../../src/engine/dictionaries/weights.ts";
import type { DictionaryWeights } from "../../src/engine/core/dictionary-weights.ts";
import { random } from "../../test/support/seeded.ts";

/** Distinct rows of a dictionary's kind, of which every request is made. */
export interface RowPool {
  readonly id: string;
  readonly weights: DictionaryWeights;
  readonly count: number;
  readonly row: (i: number) => Float32Array;
  /** Row i as JSON writes it. */
  readonly text: (i: number) => string;
}

/** Prime, so that starts of requests that step through the pool by other numbers meet late. */
const COUNT = 509;

/** The dictionary's held-out examples, and unit mixtures of two of them: seeded. @throws Error when it has no examples */
export async function readRowPool(modelsDir: string, id: string): Promise<RowPool> {
  const folder = join(modelsDir, id);
  const { weights } = await loadWeights(folder, await readManifest(folder));
  const { d } = weights;
  const examples = await readExamples(folder, d);
  if (!examples) throw new Error(`${folder} has no examples.safetensors and examples.json to make rows of.`);
  const known = examples.rows.length / d;
  const example = (i: number): Float32Array => examples.rows.subarray(i * d, (i + 1) * d);
  const { next, integer } = random(5);
  const data = new Float32Array(COUNT * d);
  for (let i = 0; i < COUNT; i++) {
    const row = data.subarray(i * d, (i + 1) * d);
    if (i < known) {
      row.set(example(i));
      continue;
    }
    const [a, b, share] = [example(integer(known)), example(integer(known)), next()];
    for (let c = 0; c < d; c++) row[c] = share * a[c]! + (1 - share) * b[c]!;
    const length = Math.hypot(...row);
    for (let c = 0; c < d; c++) row[c]! /= length;
  }
  return poolOf(id, weights, data);
}

/** @param data [n, d] */
export function poolOf(id: string, weights: DictionaryWeights, data: Float32Array): RowPool {
  const { d } = weights;
  const texts: string[] = [];
  const row = (i: number): Float32Array => data.subarray(i * d, (i + 1) * d);
  return {
    id,
    weights,
    count: data.length / d,
    row,
    text: (i) => (texts[i] ??= `[${Array.from(row(i)).join(", ")}]`),
  };
}
