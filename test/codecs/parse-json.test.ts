import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { measureJson, parseJson } from "../../src/codecs/parse-json.ts";
import { BODY_LIMITS, ROWS_EXTENT } from "../support/limits.ts";
import { WireError } from "../../src/codecs/codec-error.ts";
import { type Extent, lineExtent } from "../../src/codecs/extent.ts";
import { NumberRows } from "../../src/codecs/numbers/number-rows.ts";
import * as readers from "../../src/codecs/parse-json.ts";
import { readRows } from "../../src/codecs/rows.ts";

const parseText = (text: string): unknown => parseJson(new TextEncoder().encode(text), ROWS_EXTENT);

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
        if (depthOf(value) <= ROWS_EXTENT.depth) expect(parseText(text)).toEqual(JSON.parse(text));
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
    expect(parseText('["[[[[[[[[[", "\\"[[[[[[[[{", "\\\\"]')).toEqual(["[[[[[[[[[", '"[[[[[[[[{', "\\"]);
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
    expect(parseText('{"NaN": "Infinity"}')).toEqual({ NaN: "Infinity" });
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

const LINE = lineExtent(384);
const parseInFull = (bytes: Uint8Array): unknown => parseJson(bytes, ROWS_EXTENT);
const parseJsonRows = (bytes: Uint8Array): unknown => readers.parseJsonRows(bytes, ROWS_EXTENT, BODY_LIMITS);
const parseJsonLine = (bytes: Uint8Array): unknown => readers.parseJsonLine(bytes, LINE);

/** What becomes of a body's rows and of its other fields, or of both together the fault. */
function outcome(parse: (bytes: Uint8Array) => unknown, text: string): unknown {
  try {
    const { inputs, ...fields } = parse(Buffer.from(text)) as Record<string, unknown>;
    const { data, ...rows } = readRows(inputs, { maxRows: 50 });
    return { ...rows, bits: [...new Uint32Array(data.slice().buffer)], fields };
  } catch (error) {
    return String(error);
  }
}

const found = (text: string): boolean =>
  (parseJsonRows(Buffer.from(text)) as { inputs: unknown }).inputs instanceof NumberRows;

const space = fc.constantFrom("", "", "", " ", "\n\t", "\r\n  ");
const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.float({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.integer({ min: -99, max: 99 }).map(String),
);
const list = (items: fc.Arbitrary<string>, min: number, max: number) =>
  fc
    .tuple(fc.array(fc.tuple(space, items, space), { minLength: min, maxLength: max }), space)
    .map(([parts, inner]) => `[${parts.length === 0 ? inner : parts.map((part) => part.join("")).join(",")}]`);
const rows = fc
  .integer({ min: 1, max: 5 })
  .chain((width) =>
    fc.oneof(
      list(list(number, width, width), 1, 6),
      list(list(list(number, width, width), 2, 2), 1, 3),
      list(list(number, 0, 3), 0, 4),
      list(number, 0, 3),
      fc.json(),
    ),
  );
const key = fc.constantFrom("budget", "in\\puts", '\\"inputs', "inputs2", "\\u0069nputs", "inputs", "a");
const body = fc
  .tuple(
    space,
    fc.array(fc.tuple(key, fc.json()), { maxLength: 3 }),
    rows,
    fc.array(fc.tuple(key, fc.json()), { maxLength: 3 }),
    space,
  )
  .map(([around, before, inputs, after, inside]) => {
    const fields = [...before, ["inputs", inputs] as const, ...after].map(
      ([name, value]) => `"${name}"${inside}:${inside}${value}`,
    );
    return `${around}{${inside}${fields.join(`,${inside}`)}${inside}}${around}`;
  });

describe("parseJsonRows", () => {
  it("reads any body as parseJson does", () => {
    fc.assert(
      fc.property(body, (text) => {
        expect(outcome(parseJsonRows, text)).toEqual(outcome(parseInFull, text));
      }),
      { numRuns: 5000 },
    );
  });

  it("says of a damaged body what parseJson says", () => {
    fc.assert(
      fc.property(
        body,
        fc.nat(),
        fc.constantFrom("", "]", "[", ",", '"', "}", "{", "1", "\\", "NaN", "é", " "),
        (text, at, by) => {
          const place = at % text.length;
          const damaged = text.slice(0, place) + by + text.slice(place + 1);
          expect(outcome(parseJsonRows, damaged)).toEqual(outcome(parseInFull, damaged));
          const cut = text.slice(0, place);
          expect(outcome(parseJsonRows, cut)).toEqual(outcome(parseInFull, cut));
        },
      ),
      { numRuns: 5000 },
    );
  });

  it("takes rows of plain numbers without making lists of them", () => {
    expect(found('{"inputs": [[1, 2.5], [-3e-1, 4]], "budget": {"max_atoms": 4}}')).toBe(true);
    expect(found('{"budget": {"max_atoms": [1, 2]}, "inputs": [[[1], [2]], [[3], [4]]]}')).toBe(true);
    // Rows of very different lengths as text: more memory is needed than the first one makes expect.
    expect(found(`{"inputs": [[1.000000000000001], ${Array.from({ length: 40 }, () => "[1]").join(", ")}]}`)).toBe(
      true,
    );
  });

  it("leaves to parseJson what is not at the key, not plain, or of rows of several widths", () => {
    expect(found('{"inputs": {"data": "AAAA", "dtype": "float32", "shape": [1, 1]}}')).toBe(false);
    expect(found('{"inputs": [[1, null]]}')).toBe(false);
    expect(found('{"inputs": [[1, 2], [3]]}')).toBe(false);
    expect(found('{"inputs": []}')).toBe(false);
    expect(found('{"inputs": [[]]}')).toBe(false);
    expect(found('{"x": {"inputs": [[1]]}, "inputs": [["1"]]}')).toBe(false);
    expect(found('{"inputs": [[1]], "inputs": [[null]]}')).toBe(false);
    expect(found(`{"note": ${JSON.stringify("x".repeat(5000))}, "inputs": [[1]]}`)).toBe(false);
  });
});

/** What becomes of a line, its row rounded to float32, or the fault. */
function lineOutcome(parse: (bytes: Uint8Array) => unknown, text: string): unknown {
  const rounded = (row: unknown): unknown =>
    row instanceof NumberRows
      ? [...row.data]
      : Array.isArray(row) && row.every((value) => typeof value === "number")
        ? row.map((value) => Math.fround(value))
        : row;
  try {
    const posted = parse(Buffer.from(text));
    if (typeof posted !== "object" || posted === null || !("input" in posted)) return rounded(posted);
    return { ...posted, input: rounded(posted.input) };
  } catch (error) {
    return String(error);
  }
}

const line = fc
  .tuple(space, list(number, 0, 5), fc.array(fc.tuple(key, fc.json()), { maxLength: 2 }), fc.boolean(), space)
  .map(([around, row, fields, bare, inside]) => {
    if (bare) return `${around}${row}${around}`;
    const all = [["input", row] as const, ...fields].map(([name, value]) => `"${name}"${inside}:${inside}${value}`);
    return `${around}{${inside}${all.join(`,${inside}`)}${inside}}${around}`;
  });
const lineInFull = (bytes: Uint8Array): unknown => parseJson(bytes, LINE, "The line");

describe("parseJsonLine", () => {
  it("reads any line, sound or damaged, as parseJson does", () => {
    fc.assert(
      fc.property(line, fc.nat(), fc.constantFrom("", "]", "[", ",", '"', "}", "NaN", " ", "7"), (text, at, by) => {
        expect(lineOutcome(parseJsonLine, text)).toEqual(lineOutcome(lineInFull, text));
        const place = at % text.length;
        const damaged = text.slice(0, place) + by + text.slice(place + 1);
        expect(lineOutcome(parseJsonLine, damaged)).toEqual(lineOutcome(lineInFull, damaged));
      }),
      { numRuns: 5000 },
    );
  });

  it("takes a row of plain numbers without making a list of it, as the line or at input", () => {
    expect(parseJsonLine(Buffer.from(" [1, -2.5]\r"))).toBeInstanceOf(NumberRows);
    expect(parseJsonLine(Buffer.from('{"id": 7, "input": [1, 2]}'))).toMatchObject({
      id: 7,
      input: expect.any(NumberRows),
    });
    expect(parseJsonLine(Buffer.from("[1, null]"))).toEqual([1, null]);
    expect(parseJsonLine(Buffer.from("[[1]]"))).toEqual([[1]]);
    expect(parseJsonLine(Buffer.from("[1e39]"))).toEqual([1e39]);
  });
});
