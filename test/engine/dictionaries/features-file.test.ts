import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FeaturesFile, newMeta } from "../../../src/engine/dictionaries/features-file.ts";
import { replaceLabels } from "../../../src/bulk/features-writer.ts";
import { brokenFeatures, FEATURES_SHA, featuresContent, featuresFolder } from "../../support/features-folder.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const opened = async (folder: string): Promise<FeaturesFile> => (await FeaturesFile.open(folder, 4))!;

describe("a features file", () => {
  it("gives back what was written", async () => {
    const file = await opened(await featuresFolder());
    expect(file.meta).toMatchObject({ sha256: FEATURES_SHA, rows: 10 });
    expect([file.figure("rate", 1), file.figure("mean", 1), file.figure("mean", 2)]).toEqual([
      expect.closeTo(0.2, 6),
      3,
      undefined,
    ]);
    expect(file.map()).toEqual(Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7));
    expect(file.record(1)).toEqual({
      statistics: {
        rows: 2,
        rate: 0.2,
        mean: 3,
        max: 5,
        quantiles: { "0.5": 2.5 },
        histogram: { edges: [1, 2, 5], counts: [1, 1] },
      },
      examples: [
        { row: 7, value: 5, text: "two birds in the bush" },
        { row: 3, value: 1, text: "a bird in the hand" },
      ],
      sample: [{ row: 3, value: 1, text: "a bird in the hand" }],
      // Two of ten rows, where independent features of rates 0.2 and 0.5 would share one.
      firesWith: [{ index: 0, lift: 2, count: 2 }],
      classes: [{ class: "verb", distance: 0.5, average_precision: 0.75 }],
    });
    expect(file.record(3)).toBeNull();
    expect(file.labels().get(1)).toContainEqual({ text: "flocks", source: "neuronpedia", score: 0.25, author: "gpt" });
    file.close();
  });

  it("is searched by the words of its examples, begun or whole, and never by an operator", async () => {
    const file = await opened(await featuresFolder());
    const found = (query: string): number[] => [...file.search(query, 10).keys()];
    expect(found("bush")).toEqual([1]);
    expect(found("bir").toSorted((a, b) => a - b)).toEqual([0, 1]);
    expect(found("zebra BUSH")).toEqual([1]);
    for (const query of ['"', "* OR NOT", "text:bird NEAR(", "💥", "(((", "a\u0000b"])
      expect(() => found(query)).not.toThrow();
    file.close();
  });

  it("takes labels of a source in place of those that it had of it", async () => {
    const folder = await featuresFolder();
    await replaceLabels(folder, new Map([[2, [{ text: "new", source: "delphi" }]]]), ["delphi"]);
    const file = await opened(folder);
    expect([...file.labels()].flatMap(([index, labels]) => labels.map(({ text }) => [index, text]))).toEqual([
      [0, "bird"],
      [1, "birds, many"],
      [1, "flocks"],
      [2, "new"],
    ]);
    expect(file.record(1)?.statistics.rows).toBe(2);
    file.close();
  });

  it("has a digest of its own, which labels change", async () => {
    const folder = await featuresFolder();
    const before = await opened(folder);
    before.close();
    await replaceLabels(folder, new Map(), ["delphi"]);
    const after = await opened(folder);
    after.close();
    expect(after.digest).not.toBe(before.digest);
  });

  it("is none where there is no file", async () => {
    expect(await FeaturesFile.open(temporaryFolder(), 4)).toBeNull();
  });

  it.each([
    ["is empty", "", /is not a features file|does not say/],
    ["is no database", "x".repeat(5000), /is not a features file/],
  ])("is refused where it %s", async (_what, bytes, why) => {
    await expect(FeaturesFile.open(await brokenFeatures(bytes), 4)).rejects.toThrow(why);
  });

  it("is refused where it is cut short, or is of another shape or format", async () => {
    const folder = await featuresFolder();
    const whole = await readFile(join(folder, "features.db"));
    await expect(FeaturesFile.open(await brokenFeatures(whole.subarray(0, 4096)), 4)).rejects.toThrow(/features file/);
    await expect(FeaturesFile.open(folder, 5)).rejects.toThrow("describes 4 features; the dictionary has 5");
    const { meta } = featuresContent();
    const other = await featuresFolder({ meta: { ...meta, format: 9 } });
    await expect(FeaturesFile.open(other, 4)).rejects.toThrow("is of format 9");
    const short = await featuresFolder({
      meta: newMeta({ sha256: FEATURES_SHA, m: 4, rows: 10 }),
      columns: { rate: new Float32Array(3) },
    });
    await expect(FeaturesFile.open(short, 4)).rejects.toThrow("holds 12 bytes of rate; 16 are due");
  });
});
