import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseJson } from "../../src/codecs/parse-json.ts";
import { ROWS_EXTENT } from "../support/limits.ts";
import { WireError } from "../../src/codecs/codec-error.ts";

const parse = (text: string): unknown => parseJson(new TextEncoder().encode(text), ROWS_EXTENT);

function faultOf(bytes: string | Uint8Array): Pick<WireError, "code" | "message"> {
  try {
    parseJson(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes, ROWS_EXTENT);
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
    return error as WireError;
  }
  return expect.unreachable("it was taken for JSON");
}

const depthOf = (value: unknown): number =>
  typeof value === "object" && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0;

describe("parseJson", () => {
  it("reads JSON as JSON.parse does, up to its depth", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), fc.integer({ min: 0, max: 2 }), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        if (depthOf(value) <= ROWS_EXTENT.depth) expect(parse(text)).toEqual(JSON.parse(text));
        else expect(faultOf(text).code).toBe("PURSUIT_TOO_DEEP");
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  it("says where the body nests too deeply, before it parses a byte", () => {
    expect(faultOf('{"inputs": [[[[1]]]]}').message).toBe(
      "The body nests deeper than 4 objects and arrays at byte 14.",
    );
    expect(faultOf("[".repeat(1_000_000)).code).toBe("PURSUIT_TOO_DEEP");
  });

  it("does not count brackets within strings, escaped quotes included", () => {
    expect(parse('["[[[[[[[[[", "\\"[[[[[[[[{", "\\\\"]')).toEqual(["[[[[[[[[[", '"[[[[[[[[{', "\\"]);
  });

  it.each([
    ["[NaN]", "NaN"],
    ['{"inputs": [[1.5, -Infinity]]}', "-Infinity"],
    ['{"inputs": [[Infinity, 1]]}', "Infinity"],
    ['{"say": "NaN, and \\"NaN\\"", "inputs": [[1, NaN]]}', "NaN"],
  ])("tells the token in %s apart, with a hint", (text, token) => {
    expect(faultOf(text)).toMatchObject({
      code: "PURSUIT_NAN_TOKEN",
      message: expect.stringMatching(
        new RegExp(`^The body holds the token ${token}, which JSON does not have\\. .*nan_to_num`),
      ),
    });
  });

  it("does not take a word in a string, or part of another word, for such a token", () => {
    expect(parse('{"NaN": "Infinity"}')).toEqual({ NaN: "Infinity" });
    for (const text of ['{"a": "NaN" x}', "[NaNny]", "[xInfinity]"]) {
      expect(faultOf(text).code, text).toBe("PURSUIT_MALFORMED_BODY");
    }
  });

  it.each(["", " \n\t"])("calls %j empty", (text) => {
    expect(faultOf(text)).toMatchObject({ code: "PURSUIT_MALFORMED_BODY", message: expect.stringMatching(/is empty/) });
  });

  it("says of every prefix of a body that it was cut", () => {
    const text = '{"inputs": [[1.5, -2e3], [0, 4]], "format": "sp\\"arse", "include": [true, null]}';
    for (let length = 1; length < text.length; length++) {
      const { code, message } = faultOf(text.slice(0, length));
      expect(code).toBe("PURSUIT_MALFORMED_BODY");
      expect(message, text.slice(0, length)).toMatch(/ends in the middle, after \d+ characters\. Was it cut off\?$/);
    }
  });

  it.each(["hello", "{'a': 1}", "[1,]", '{"a": 1,}', "[01]", "[1 2]", '{"a": 1} x', "<html>", "[1][2]", '["\n"]'])(
    "does not say of %j that it was cut",
    (text) => {
      expect(faultOf(text)).toMatchObject({
        code: "PURSUIT_MALFORMED_BODY",
        message: expect.not.stringMatching(/cut off/),
      });
    },
  );

  it("says of bytes that are no UTF-8 that they are none", () => {
    expect(faultOf(Uint8Array.of(0x22, 0xff, 0x22))).toMatchObject({
      code: "PURSUIT_MALFORMED_BODY",
      message: expect.stringMatching(/not UTF-8/),
    });
  });

  it("is done with a cut body in one pass, however long its last string", () => {
    // Were the search for tokens to begin anew at each quote, or to remember each character, this would not end well.
    expect(faultOf(`{"data": "${"A".repeat(24 << 20)}`).message).toMatch(/cut off/);
    expect(faultOf(`{"data": "${'\\"'.repeat(200_000)}`).message).toMatch(/cut off/);
  });
});
