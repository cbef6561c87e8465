import { join } from "node:path";
import { writeFile } from "node:fs/promises";
import { type FeaturesContent, writeFeatures } from "../../src/bulk/features-writer.ts";
import { newMeta } from "../../src/engine/dictionaries/features-file.ts";
import { temporaryFolder } from "./temporary-folder.ts";

export const FEATURES_SHA = "ab".repeat(32);

/** Content of a features file of 4 features: the first two are active, and only feature 1 has a record with all lists. */
export const featuresContent = (changes: Partial<FeaturesContent> = {}): FeaturesContent => ({
  meta: newMeta({ sha256: FEATURES_SHA, m: 4, rows: 10, classes: ["noun", "verb"] }),
  columns: {
    rate: Float32Array.of(0.5, 0.2, 0, 0),
    mean: Float32Array.of(2, 3, NaN, NaN),
    max: Float32Array.of(4, 5, NaN, NaN),
    map: Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7),
  },
  records: new Map([
    [0, { rows: 5, quantiles: {}, edges: [], counts: [], examples: [3, 4], sample: [], with: [] }],
    [
      1,
      {
        rows: 2,
        quantiles: { "0.5": 2.5 },
        edges: [1, 2, 5],
        counts: [1, 1],
        examples: [7, 5, 3, 1],
        sample: [3, 1],
        with: [0, 2],
        classes: [1, 0.5, 0.75],
      },
    ],
  ]),
  texts: new Map([
    [3, "a bird in the hand"],
    [7, "two birds in the bush"],
  ]),
  labels: new Map([
    [0, [{ text: "bird", source: "examples" }]],
    [
      1,
      [
        { text: "birds, many", source: "examples" },
        { text: "flocks", source: "neuronpedia", score: 0.25, author: "gpt" },
        { text: "herds", source: "delphi", score: 0.75 },
      ],
    ],
  ]),
  ...changes,
});

/** A folder with such a features file. */
export async function featuresFolder(changes: Partial<FeaturesContent> = {}): Promise<string> {
  const folder = temporaryFolder();
  await writeFeatures(folder, featuresContent(changes));
  return folder;
}

/** A folder whose features file holds these bytes. */
export async function brokenFeatures(bytes: Uint8Array | string): Promise<string> {
  const folder = temporaryFolder();
  await writeFile(join(folder, "features.db"), bytes);
  return folder;
}
