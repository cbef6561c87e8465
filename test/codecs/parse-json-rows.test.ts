import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NumberRows } from "../../src/codecs/numbers/find-rows.ts";
import * as readers from "../../src/codecs/parse-json-rows.ts";
import { lineExtent } from "../../src/codecs/extent.ts";
import { parseJson } from "../../src/codecs/parse-json.ts";
import { BODY_LIMITS, ROWS_EXTENT } from "../support/limits.ts";
import { readRows } from "../../src/codecs/rows.ts";

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
