import { describe, expect, it } from "vitest";
import { LabelSearch } from "../../../src/engine/serving/label-search.ts";

const search = await LabelSearch.create(
  new Map([
    [0, { text: "rodent: a small gnawing mammal", score: 0.2 }],
    [1, { text: "painter: an artist who paints", score: 0.7, rate: 0.01 }],
    [2, { rate: 0.3 }],
    [3, { text: "sculptor: an artist who sculpts" }],
  ]),
);
const found = (query: string, limit = 10): number[] => search.find(query, limit).map(({ index }) => index);

describe("an index of labels", () => {
  const many = new Map(Array.from({ length: 1_000 }, (_, i) => [i, { text: `a label of feature number${i}` }]));

  it("is made between other work, and is whole in the end", async () => {
    let turns = 0;
    let made = false;
    const making = LabelSearch.create(many).finally(() => (made = true));
    const count = (): void => {
      turns++;
      if (!made) setImmediate(count);
    };
    setImmediate(count);
    const { length } = (await making).find("label", Infinity);
    expect(length).toBe(1_000);
    expect(turns).toBeGreaterThanOrEqual(5);
  });

  it("is given up with its dictionary", async () => {
    const signal = AbortSignal.abort(new Error("the server stops"));
    await expect(LabelSearch.create(many, signal)).rejects.toThrow("the server stops");
  });
});

describe("a search over labels", () => {
  it("finds a word, its beginning, and a misspelling of it", () => {
    expect(found("painter")).toEqual([1]);
    expect(found("pain")).toEqual([1]);
    expect(found("paintar")).toEqual([1]);
    expect(found("rodant")).toEqual([0]);
  });

  it("wants every word of the query", () => {
    expect(found("artist").toSorted((a, b) => a - b)).toEqual([1, 3]);
    expect(found("artist sculpts")).toEqual([3]);
    expect(found("artist gnawing")).toEqual([]);
  });

  it("gives what is known of a feature, the most relevant first, and no more than asked", () => {
    expect(search.find("painter", 1)).toEqual([
      { index: 1, text: "painter: an artist who paints", score: 0.7, rate: 0.01, relevance: expect.any(Number) },
    ]);
    const relevances = search.find("a", 10).map(({ relevance }) => relevance);
    expect(relevances).toEqual(relevances.toSorted((a, b) => b - a));
    expect(found("artist", 1)).toHaveLength(1);
  });
});
