/** JSON files as Python and editors write them. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseJsonText } from "../../../../src/engine/dictionaries/formats/json-file.ts";

const parse = (text: string) => parseJsonText("f.json", Buffer.from(text));

describe("parseJsonText", () => {
  it("skips a byte order mark", () => {
    expect(parse('\uFEFF{"a": 1}')).toEqual({ value: { a: 1 }, nonFinite: [] });
  });

  it("reads NaN and Infinity as numbers, and says where they are", () => {
    const { value, nonFinite } = parse('{"m": {"loss": NaN,\n "x": [1, -Infinity]}, "note": "NaN", "k": Infinity}');
    expect(value).toEqual({ m: { loss: NaN, x: [1, -Infinity] }, note: "NaN", k: Infinity });
    expect(nonFinite).toEqual([
      { path: ["m", "loss"], text: "m.loss is NaN (line 1, column 16)" },
      { path: ["m", "x", "1"], text: "m.x.1 is -Infinity (line 2, column 11)" },
      { path: ["k"], text: "k is Infinity (line 2, column 44)" },
    ]);
  });

  it("reads what JSON.parse reads, and is otherwise told that it was cut off", () => {
    fc.assert(
      fc.property(fc.json(), fc.nat(), (text, at) => {
        expect(parse(text).value).toEqual(JSON.parse(text));
        const beginning = text.slice(0, at % text.length);
        if (beginning.trim() === "" || isJson(beginning)) return;
        expect(() => parse(beginning)).toThrow(/is cut off: its JSON ends unfinished at line 1, column \d+/);
      }),
      { seed: 1 },
    );
  });

  it.each([
    ['{\n "a": tru}', /is not JSON at line 2, column 10: Unexpected token '}'/],
    ['{"a": 1,}', /is not JSON at line 1, column 9/],
    ["{'a': 1}", /is not JSON at line 1, column 2/],
    ['{"loss": NaN,\n "a": None}', /is not JSON at line 2, column 7: Unexpected token 'N'/],
    ['{"a": 1} x', /is not JSON at line 1, column 10: Unexpected non-whitespace character after JSON\.$/],
    ["", /is empty/],
    [`${"[".repeat(100_000)}NaN`, /nests deeper than 64 objects and arrays at line 1, column 65/],
    ["version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 812\n", /is a git-lfs pointer.*git lfs pull/],
    ["<!DOCTYPE html>\n<html>", /is a web page/],
  ])("says what is wrong with %j, and where", (text, said) => {
    expect(() => parse(text)).toThrow(said);
    expect(() => parse(text)).toThrow(/^f\.json: /);
  });

  it("tells other encodings", () => {
    const bytes = (...values: number[]) => parseJsonText("f.json", Uint8Array.from(values));
    expect(() => bytes(0xff, 0xfe, 0x7b, 0)).toThrow("is UTF-16; save it as UTF-8");
    expect(() => bytes(0x7b, 0x22, 0xe9, 0x22, 0x7d)).toThrow("is not UTF-8 at line 1, column 3");
    expect(() => bytes(0x1f, 0x8b, 8, 0)).toThrow("is compressed with gzip");
  });
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
