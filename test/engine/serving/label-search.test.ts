import { describe, expect, it } from "vitest";
import type { FeatureLabel } from "../../../src/engine/core/features.ts";
import { LabelSearch } from "../../../src/engine/serving/label-search.ts";

const label = (text: string, score?: number): FeatureLabel[] => [
  { text, source: "tests", ...(score !== undefined && { score }) },
];

const search = new LabelSearch();
search.set(0, label("rodent: a small gnawing mammal"));
search.set(1, label("painter: an artist who paints", 0.7));
search.set(2, []);
search.set(3, label("sculptor: an artist who sculpts"));
const found = (query: string, within = search): number[] => [...within.find(query).keys()];

describe("an index of labels", () => {
  const many = Array.from({ length: 1_000 }, (_, i) => i);
  const labelOf = (i: number): FeatureLabel[] => label(`a label of feature number${i}`);

  it("is made between other work, and is whole in the end", async () => {
    const all = new LabelSearch();
    let turns = 0;
    let made = false;
    const making = all.addAll(many, labelOf).finally(() => (made = true));
    const count = (): void => {
      turns++;
      if (!made) setImmediate(count);
    };
    setImmediate(count);
    await making;
    expect(all.find("label").size).toBe(1_000);
    expect(turns).toBeGreaterThanOrEqual(5);
  });

  it("is given up with its dictionary", async () => {
    const signal = AbortSignal.abort(new Error("the server stops"));
    await expect(new LabelSearch().addAll(many, labelOf, signal)).rejects.toThrow("the server stops");
  });

  it("follows a label that is replaced or taken away", () => {
    const one = new LabelSearch();
    one.set(5, label("a heron"));
    one.set(5, label("a crane"));
    expect([found("heron", one), found("crane", one), one.size]).toEqual([[], [5], 1]);
    one.set(5, []);
    expect([found("crane", one), one.size]).toEqual([[], 0]);
  });
});

describe("a search over labels", () => {
  it("finds a word, its beginning, and a misspelling of it", () => {
    expect(found("painter")).toEqual([1]);
    expect(found("pain")).toEqual([1]);
    expect(found("paintar")).toEqual([1]);
    expect(found("rodant")).toEqual([0]);
  });

  it("takes any word of the query, and puts those first that more words match", () => {
    expect(found("artist sculpts")).toEqual([3, 1]);
    expect(found("artist gnawing").toSorted((a, b) => a - b)).toEqual([0, 1, 3]);
    expect(found("zebra")).toEqual([]);
  });

  it("puts the label of the better score first where the words match as well", () => {
    const scored = new LabelSearch();
    for (const [index, score] of [undefined, 0.4, 0.8, -2].entries()) scored.set(index, label("a bird", score));
    expect(found("bird", scored).slice(0, 2)).toEqual([2, 1]);
  });
});
