import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseLabels, readLabels } from "../../../src/engine/dictionaries/labels.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const M = 4;

describe("labels.json", () => {
  it("gives what is known of each feature, and leaves a tool's own fields alone", () => {
    const file = { 0: { text: "birds", score: 0.5, rate: 0.01, concept: "noun:1" }, 3: { rate: 0.2 } };
    const { facts, warnings } = parseLabels(JSON.stringify(file), M);
    expect([...facts]).toEqual([
      [0, { text: "birds", score: 0.5, rate: 0.01 }],
      [3, { rate: 0.2 }],
    ]);
    expect(warnings).toEqual([]);
  });

  it("leaves out what is not of its form, says so, and keeps the rest", () => {
    const bad = { 4: { text: "beyond" }, x: {}, 1: { text: 7 }, 2: { text: "good" }, "-1": {}, 3: { score: "high" } };
    const { facts, warnings } = parseLabels(JSON.stringify(bad), M);
    expect([...facts.keys()]).toEqual([2]);
    expect(warnings).toEqual([expect.stringMatching(/5 entries are left out \(.*"4".*features are 0 to 3/)]);
  });

  it.each([
    ["[]", "is not a JSON object"],
    ["{", "is not JSON"],
    ["null", "is not a JSON object"],
  ])("of %s is not used, and stops nothing", (text, said) => {
    const { facts, warnings } = parseLabels(text, M);
    expect(facts.size).toBe(0);
    expect(warnings[0]).toContain(said);
  });

  it("never throws, whatever it holds", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const { facts } = parseLabels(text, M);
        for (const index of facts.keys()) expect(index).toBeLessThan(M);
      }),
      { seed: 4, numRuns: 200 },
    );
  });

  it("may be absent", async () => {
    const folder = temporaryFolder();
    expect(await readLabels(folder, M)).toBeNull();
    writeFileSync(join(folder, "labels.json"), '{"1": {"text": "one"}}');
    expect((await readLabels(folder, M))!.facts.get(1)).toEqual({ text: "one" });
  });
});
