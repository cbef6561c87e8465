import { describe, expect, it } from "vitest";
import { WordRates } from "../../src/bulk/example-words.ts";

/** Rates of words in texts of which one in ten is about birds, and all have "the" and "that". */
function rates(): WordRates {
  const all = new WordRates();
  for (let i = 0; i < 200; i++) all.add(`the thing ${i} that ${i % 10 === 0 ? "a bird does" : "lies about"}`);
  return all;
}
const describeBy = (texts: readonly string[], values: readonly number[] = []): string | null =>
  rates().describe(texts.map((text, i) => ({ text, value: values[i] ?? 1 })));

describe("a description by examples", () => {
  it("is made of the words that they share against all texts", () => {
    const birds = ["the bird that sings", "a bird of the wood", "the nest that a bird has", "birds in the wood"];
    expect(describeBy(birds)).toBe("wood, bird");
  });

  it("holds one form of a word", () => {
    expect(describeBy(["boat boats boating", "boat boats boating"])).toBe("boat");
    expect(describeBy(["painter, painting", "painter, painting", "car, carbon", "car, carbon"])).toBe(
      "car, carbon, painter",
    );
  });

  it("has the words of the largest values first, of either sign", () => {
    expect(describeBy(["heron", "heron", "crane", "crane"], [1, 1, -5, -5])).toBe("crane, heron");
  });

  it("has words where none is shared", () => {
    expect(describeBy(["a heron", "some crane", "one stork"], [3, 2, 1])).toBe("heron, crane, some");
  });

  it("is none of texts without words", () => {
    expect(describeBy([])).toBeNull();
    expect(describeBy(["", "12 + 7", "…"])).toBeNull();
  });

  it("reads words of other scripts, however short", () => {
    expect(describeBy(["鳥 が 飛ぶ", "鳥 の 歌"])).toBe("鳥");
  });
});
