import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { tooDeepAt } from "../../src/codecs/json-depth.ts";

/** Byte by byte. */
function plainly(text: string, maxDepth: number): number {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '"') {
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === "\\") i++;
    } else if ("[{".includes(text[i]!)) {
      if (++depth > maxDepth) return i;
    } else if ("]}".includes(text[i]!)) depth--;
  }
  return -1;
}

const piece = fc.oneof(
  fc.constantFrom("[", "]", "{", "}", '"', "\\", '\\"', "\\\\", "[[", "]]", "0.25,", "x"),
  fc.integer({ min: 1, max: 200 }).map((length) => "1".repeat(length)),
  fc.integer({ min: 1, max: 90 }).map((length) => "\\".repeat(length)),
);

describe("tooDeepAt", () => {
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
