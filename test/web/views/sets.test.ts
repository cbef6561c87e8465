import { describe, expect, it } from "vitest";
import { moved, placesFromText, placesOf, placesToText } from "../../../web/src/views/contrast/sets.ts";

describe("places of examples", () => {
  it("are kept in an address, runs in short", () => {
    expect(placesToText([7, 0, 1, 2, 3, 9, 10, 7])).toBe("0-3,7,9-10");
    expect([...placesFromText("0-3,7,9-10", 64)]).toEqual([0, 1, 2, 3, 7, 9, 10]);
    expect(placesToText([])).toBe("");
  });

  it("that are none are left out", () => {
    expect([...placesFromText("", 64)]).toEqual([]);
    expect([...placesFromText("x,-1,3-1,62-999999,5-", 64)]).toEqual([62, 63]);
  });

  it("are found by any of some words", () => {
    const texts = ["a bird", "a tool of iron", "Birds and tools", "law"];
    expect(placesOf(texts, "bird, tool")).toEqual([0, 1, 2]);
    expect(placesOf(texts, " , ")).toEqual([]);
  });
});

it("a row is in one set at most, and leaves it when it is put there again", () => {
  const sets = { a: new Set([1]), b: new Set([2]) };
  expect(moved(sets, 2, "a")).toEqual({ a: new Set([1, 2]), b: new Set() });
  expect(moved(sets, 1, "a")).toEqual({ a: new Set(), b: new Set([2]) });
  expect(moved(sets, 3, "b")).toEqual({ a: new Set([1]), b: new Set([2, 3]) });
});
