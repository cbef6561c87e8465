import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WireError } from "../../src/codecs/codec-error.ts";
import type { Extent } from "../../src/codecs/extent.ts";
import { measureJson } from "../../src/codecs/measure-json.ts";

const UNBOUNDED: Extent = {
  depth: 100,
  rows: Infinity,
  containers: Infinity,
  values: Infinity,
  texts: Infinity,
  memory: Infinity,
  fields: Infinity,
};

/** The message of the refusal; null where there is none. */
function refusalOf(bytes: Uint8Array, extent: Partial<Extent>): string | null {
  try {
    measureJson(bytes, { ...UNBOUNDED, ...extent }, "The body");
    return null;
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
    return (error as WireError).message;
  }
}

function tooDeepAt(bytes: Uint8Array, depth: number): number {
  const message = refusalOf(bytes, { depth });
  return message === null ? -1 : Number(/ at byte (\d+)\.$/.exec(message)![1]);
}

/** Byte by byte. */
function plainly(text: string, maxDepth: number): number {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '"') {
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === "\\") i++;
    } else if ("[{".includes(text[i]!)) {
      if (++depth > maxDepth) return i;
    } else if ("]}".includes(text[i]!) && --depth < 0) return -1; // no JSON from here on: the parser says so
  }
  return -1;
}

const piece = fc.oneof(
  fc.constantFrom("[", "]", "{", "}", '"', "\\", '\\"', "\\\\", "[[", "]]", "0.25,", "x"),
  fc.integer({ min: 1, max: 200 }).map((length) => "1".repeat(length)),
  fc.integer({ min: 1, max: 90 }).map((length) => "\\".repeat(length)),
);

describe("measureJson, of depth", () => {
  it("finds what a look at every byte finds, whatever is near and far, quoted and escaped", () => {
    const text = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(text, fc.integer({ min: 0, max: 4 }), (given, maxDepth) => {
        expect(tooDeepAt(Buffer.from(given), maxDepth)).toBe(plainly(given, maxDepth));
      }),
      { numRuns: 3000, seed: 7 },
    );
  });

  it("takes a view for no more than it is", () => {
    const whole = Buffer.from("[[[[1]]]]");
    expect(tooDeepAt(whole.subarray(2, 7), 2)).toBe(-1);
    expect(tooDeepAt(whole.subarray(1), 2)).toBe(2);
  });
});

/** What a JSON value holds, once it is parsed. */
function held(value: unknown): { containers: number; texts: number } {
  if (typeof value === "string") return { containers: 0, texts: 1 };
  if (typeof value !== "object" || value === null) return { containers: 0, texts: 0 };
  const keys = Array.isArray(value) ? 0 : Object.keys(value).length;
  const entries: unknown[] = Object.values(value);
  return entries
    .map(held)
    .reduce((sum, one) => ({ containers: sum.containers + one.containers, texts: sum.texts + one.texts }), {
      containers: 1,
      texts: keys,
    });
}

describe("measureJson, of what a text holds", () => {
  const plainText = fc.string({ unit: fc.constantFrom("a", "[", "{", '"', "\\", "é") });
  const json = fc.jsonValue({ maxDepth: 5, noUnicodeString: true }).filter((value) => typeof value === "object");

  it("takes what is within every limit, and refuses what is one over any", () => {
    fc.assert(
      fc.property(fc.oneof(json, fc.dictionary(plainText, fc.array(plainText))), (value) => {
        const bytes = Buffer.from(JSON.stringify(value));
        const { containers, texts } = held(value);
        expect(refusalOf(bytes, { containers, texts })).toBeNull();
        if (containers > 0) {
          expect(refusalOf(bytes, { containers: containers - 1 })).toBe(
            `The body holds over ${containers - 1} lists and objects, more than any request to this path needs. Send the rows in parts.`,
          );
        }
        if (texts > 0) expect(refusalOf(bytes, { texts: texts - 1 })).toMatch(/over \d+ texts/);
      }),
      { seed: 3, numRuns: 500 },
    );
  });

  it("counts the entries of long texts", () => {
    const list = Buffer.from(`[${"1,".repeat(200_000)}1]`);
    expect(refusalOf(list, { values: 200_000 })).toBeNull();
    expect(refusalOf(list, { values: 199_999 })).toMatch(/over 199999 values/);
  });

  it.each([
    ["lists", "[],"],
    ["objects", "{},"],
    ["numbers", "0,"],
    ["texts", '"",'],
    ["keys", '{"1":0},'],
  ])("bounds the memory of nothing but %s", (_what, part) => {
    const bytes = Buffer.from(`[${part.repeat(100_000)}0]`);
    expect(refusalOf(bytes, { memory: 1_000_000 })).toMatch(/takes over 1000000 bytes of memory to read/);
    expect(refusalOf(bytes, { memory: 40_000_000 })).toBeNull();
  });
});
