import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { labelsFor, labelsOf, readLabels } from "../../../src/engine/dictionaries/labels.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const M = 4;

describe("labels.json", () => {
  it("gives what is known of each feature, and leaves a tool's own fields alone", () => {
    const file = { 0: { text: "birds", score: 0.5, rate: 0.01, concept: "noun:1" }, 3: { rate: 0.2 } };
    const { facts, warnings } = labelsOf(file, M);
    expect([...facts]).toEqual([
      [0, { text: "birds", score: 0.5, rate: 0.01 }],
      [3, { rate: 0.2 }],
    ]);
    expect(warnings).toEqual([]);
  });

  it("are used by the version that they name, and by any where they name none", () => {
    const [own, other] = ["ab".repeat(32), "cd".repeat(32)] as [string, string];
    const bound = labelsOf({ sha256: own, 0: { text: "birds" } }, M);
    expect(bound).toMatchObject({ sha256: own, warnings: [] });
    expect(labelsFor(bound, own)).toBe(bound);
    const refused = labelsFor(bound, other);
    expect([...refused.facts]).toEqual([]);
    expect(refused.warnings).toEqual([
      expect.stringMatching(
        /made for the version abababababab… and the dictionary is cdcdcdcdcdcd….*take "sha256" out/,
      ),
    ]);
    const free = labelsOf({ 0: { text: "birds" } }, M);
    expect(labelsFor(free, own)).toBe(free);
    expect(labelsOf({ sha256: 7, 0: { text: "birds" } }, M).warnings).toEqual([
      "labels.json: sha256 must be a string. It is not used.",
    ]);
  });

  it("leaves out entries that are not of its form, says so, and keeps the rest", () => {
    const bad = { 4: { text: "beyond" }, x: {}, 1: 7, 2: { text: "good" }, "-1": {} };
    const { facts, warnings } = labelsOf(bad, M);
    expect([...facts.keys()]).toEqual([2]);
    expect(warnings).toEqual([expect.stringMatching(/4 entries are left out \(.*"4".*features are 0 to 3/)]);
  });

  it("keeps what is good of an entry whose score is not", () => {
    const bad = {
      0: { text: "a bird", score: NaN },
      1: { text: 7, rate: 0.5 },
      2: { text: null, score: null, rate: 1 },
    };
    const { facts, warnings } = labelsOf(bad, M);
    expect([...facts]).toEqual([
      [0, { text: "a bird" }],
      [1, { rate: 0.5 }],
      [2, { rate: 1 }],
    ]);
    expect(warnings).toEqual([expect.stringMatching(/2 fields are left out \("0"\.score, "1"\.text\)/)]);
  });

  it.each([
    ["[]", "is not a JSON object"],
    ["{", "is cut off: its JSON ends unfinished at line 1, column 2"],
    ["null", "is not a JSON object"],
    ["version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"],
  ])("of %s is not used, and stops nothing", async (text, said) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "labels.json"), text);
    const { facts, warnings } = (await readLabels(folder, M))!;
    expect(facts.size).toBe(0);
    expect(warnings).toEqual([expect.stringContaining(said)]);
    expect(warnings[0]).toMatch(/^labels\.json.* It is not used\.$/);
  });

  it("never throws, whatever it holds", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (file) => {
        const { facts } = labelsOf(file, M);
        for (const index of facts.keys()) expect(index).toBeLessThan(M);
      }),
      { seed: 4, numRuns: 200 },
    );
  });

  it("may be absent", async () => {
    const folder = temporaryFolder();
    expect(await readLabels(folder, M)).toBeNull();
    writeFileSync(join(folder, "labels.json"), '\uFEFF{"1": {"text": "one", "score": NaN}}');
    expect((await readLabels(folder, M))!.facts.get(1)).toEqual({ text: "one" });
  });
});
