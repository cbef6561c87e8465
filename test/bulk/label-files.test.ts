import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readLabelFile } from "../../src/bulk/label-files.ts";
import { FormatError } from "../../src/engine/dictionaries/formats/format-error.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const M = 2000;
const LAYER = "12-gemmascope-res-16k";

function folderOf(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}
const fileOf = (name: string, content: string | Uint8Array): string => join(folderOf({ [name]: content }), name);

/** As in an export: the index is a text, and there is much that is no label. */
const explanation = (index: number, description: unknown, more: object = {}) => ({
  modelId: "gemma-2-2b",
  layer: LAYER,
  index: String(index),
  description,
  typeName: "oai_token-act-pair",
  explanationModelName: "gpt-4o-mini",
  embedding: "[0.1, 0.2]",
  ...more,
});
const lines = (...entries: readonly object[]): string => entries.map((entry) => `${JSON.stringify(entry)}\n`).join("");

const AUTHOR = "gpt-4o-mini, oai_token-act-pair";
const label = (text: string) => ({ text, source: "neuronpedia", author: AUTHOR });

describe("explanations of Neuronpedia", () => {
  const entries = [explanation(7, "birds"), explanation(7, "flocks of birds"), explanation(1999, "tools")];
  const expected = new Map([
    [7, [label("birds"), label("flocks of birds")]],
    [1999, [label("tools")]],
  ]);

  it.each<[string, string | Uint8Array]>([
    ["batch-0.jsonl", lines(...entries)],
    ["batch-0.jsonl.gz", gzipSync(lines(...entries))],
    ["export.json", JSON.stringify(entries)],
  ])("are read from %s, several of one feature, by numbers that are texts", async (name, content) => {
    const read = await readLabelFile(fileOf(name, content), { m: M });
    expect(read).toEqual({ source: "neuronpedia", labels: expected, skipped: 0 });
  });

  it("are read from every batch of a folder: batches are no ranges of features", async () => {
    const folder = folderOf({
      "explanations/batch-0.jsonl.gz": gzipSync(lines(entries[0]!, entries[2]!)),
      "explanations/batch-1.jsonl": lines(entries[1]!),
      "features/batch-0.jsonl": "not read",
    });
    expect((await readLabelFile(folder, { m: M })).labels).toEqual(expected);
    expect((await readLabelFile(join(folder, "explanations"), { m: M })).labels).toEqual(expected);
  });

  it("of one dictionary are taken from an export of several, and only by its name", async () => {
    const path = fileOf("all.jsonl", lines(entries[0]!, explanation(3, "other", { layer: "13-gemmascope-res-16k" })));
    await expect(readLabelFile(path, { m: M })).rejects.toThrow(
      "holds labels of 12-gemmascope-res-16k, 13-gemmascope-res-16k. Name one of them with --only.",
    );
    expect([...(await readLabelFile(path, { m: M, only: LAYER })).labels.keys()]).toEqual([7]);
    await expect(readLabelFile(path, { m: M, only: "14" })).rejects.toThrow("holds no labels of 14; it has 12-");
  });

  it("without words are left out and counted", async () => {
    const path = fileOf(
      "some.jsonl",
      lines(explanation(1, " "), explanation(2, null), explanation(3, "x".repeat(3000)), entries[0]!),
    );
    expect(await readLabelFile(path, { m: M })).toMatchObject({ skipped: 3, labels: new Map([[7, [label("birds")]]]) });
  });

  it.each([
    [lines(explanation(M, "beyond")), `line 1 has the index "${M}"; the dictionary's features are 0 to ${M - 1}.`],
    [lines({ description: "birds" }), "line 1 has the index none"],
    [`${lines(explanation(1, "one"))}{"index"`, "line 2 is not JSON"],
    ["[1, 2]\n", "line 1 is no object"],
    ["", "holds no labels."],
    [`{"a": "${"x".repeat(1 << 21)}"}`, "has a line of over"],
  ])("that are wrong are refused by file and line", async (content, message) => {
    await expect(readLabelFile(fileOf("bad.jsonl", content), { m: M })).rejects.toThrow(message);
  });

  it("that are cut off are refused", async () => {
    const whole = gzipSync(lines(...Array.from({ length: 500 }, (_, i) => explanation(i, `feature ${i} ${i * 7919}`))));
    const path = fileOf("cut.jsonl.gz", whole.subarray(0, whole.length / 2));
    await expect(readLabelFile(path, { m: M })).rejects.toThrow(FormatError);
  });

  it("end in labels or a FormatError whatever a line holds", async () => {
    const index = fc.oneof(fc.integer({ min: -5, max: M + 5 }), fc.string(), fc.constant(null), fc.double());
    const entry = fc.record({ index, description: fc.oneof(fc.string(), fc.jsonValue()), layer: fc.constant(LAYER) });
    const line = fc.oneof(
      entry.map((one) => JSON.stringify(one)),
      fc.json(),
      fc.string(),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 6 }), async (texts) => {
        const read = await readLabelFile(fileOf("any.jsonl", texts.join("\n")), { m: M }).catch((error: unknown) => {
          expect(error).toBeInstanceOf(FormatError);
          return null;
        });
        for (const [feature, labels] of read?.labels ?? []) {
          expect(feature).toSatisfy((number: number) => Number.isInteger(number) && number >= 0 && number < M);
          for (const { text } of labels) expect(text).toMatch(/\S/);
        }
      }),
      { seed: 5, numRuns: 60 },
    );
  });
});

describe("a run of Delphi", () => {
  const verdicts = (...correct: readonly boolean[]): string =>
    JSON.stringify(correct.map((one) => ({ correct: one, distance: 1, activating: true })));
  const run = {
    "explanations/layers.6--mlp_latent3.txt": '"verbs of motion"',
    "explanations/layers.6--mlp_latent12.txt": '"Explanation could not be parsed."',
    "explanations/layers.6--mlp_latent40.txt": '"cities"',
    "scores/detection/layers.6--mlp_latent3.txt": verdicts(true, true, false, true),
    "scores/fuzz/layers.6--mlp_latent3.txt": verdicts(true, false),
    "scores/fuzz/layers.6--mlp_latent40.txt": "not JSON",
  };

  it("is read with the mean share of its scorers' verdicts that are correct", async () => {
    const folder = folderOf(run);
    const expected = {
      source: "delphi",
      skipped: 1,
      labels: new Map(
        [
          [12, undefined],
          [3, [{ text: "verbs of motion", source: "delphi", score: 0.625 }]],
          [40, [{ text: "cities", source: "delphi" }]],
        ].filter(([, labels]) => labels !== undefined) as [number, object][],
      ),
    };
    expect(await readLabelFile(folder, { m: M })).toEqual(expected);
    expect(await readLabelFile(join(folder, "explanations"), { m: M })).toEqual(expected);
  });

  it("of several modules needs one named", async () => {
    const folder = folderOf({ ...run, "explanations/layers.7--mlp_latent0.txt": '"numbers"' });
    await expect(readLabelFile(folder, { m: M })).rejects.toThrow(
      "layers.6--mlp, layers.7--mlp. Name one of them with --only.",
    );
    const { labels } = await readLabelFile(folder, { m: M, only: "layers.7--mlp" });
    expect([...labels]).toEqual([[0, [{ text: "numbers", source: "delphi" }]]]);
  });
});

describe("our labels", () => {
  it("keep their texts and scores", async () => {
    const path = fileOf("labels.json", JSON.stringify({ "5": { text: "bird", score: 0.5 }, "6": { rate: 0.1 } }));
    expect(await readLabelFile(path, { m: M })).toEqual({
      source: "labels.json",
      labels: new Map([[5, [{ text: "bird", source: "labels.json", score: 0.5 }]]]),
      skipped: 1,
    });
  });

  it("are asked for where a folder holds nothing that is read", async () => {
    await expect(readLabelFile(folderOf({ "notes.txt": "" }), { m: M })).rejects.toThrow(
      "holds neither batches of Neuronpedia",
    );
  });
});
