import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LineSplitter, readLines } from "../../src/codecs/lines.ts";

const WIDTH = 2;
const groupOf = (lines: readonly string[], tooLong: readonly number[] = [], firstLine = 1) => ({
  bytes: new Uint8Array(Buffer.from(lines.map((line) => `${line}\n`).join(""))),
  firstLine,
  lines: lines.length,
  tooLong,
});
const read = (...lines: string[]) => readLines(groupOf(lines), { width: WIDTH, maxLine: 100 });

describe("readLines", () => {
  it("takes rows, alone or with a budget and an id, and skips blank lines", () => {
    const { rows, lines } = read(
      "[1, 2]",
      "",
      '{"input": [3, 4], "id": "a", "budget": {"max_atoms": 3}}\r',
      " \t",
      '{"input":[5,6],"id":7}',
    );
    expect(rows).toEqual({ data: Float32Array.of(1, 2, 3, 4, 5, 6), count: 3, width: WIDTH });
    expect(lines).toEqual([{ line: 1 }, { line: 3, id: "a", budget: { max_atoms: 3 } }, { line: 5, id: 7 }]);
  });

  it.each<[string, string, RegExp]>([
    ["{", "PURSUIT_MALFORMED_BODY", /^The line is not JSON: it ends in the middle/],
    ["[1, NaN]", "PURSUIT_NAN_TOKEN", /^The line holds the token NaN/],
    ["[[[[[1]]]]]", "PURSUIT_TOO_DEEP", /^The line nests deeper/],
    ["7", "PURSUIT_INVALID_FIELD", /row \[…\] or \{"input".*is 7/],
    ["null", "PURSUIT_INVALID_FIELD", /is null/],
    ["[1]", "PURSUIT_WRONG_WIDTH", /The row is 1 wide; this dictionary takes rows of 2/],
    ['[1, "2"]', "PURSUIT_INVALID_FIELD", /The row\[1\] must be a number; it is "2"/],
    ["[1, 1e39]", "PURSUIT_NOT_FINITE", /column 1 is 1e\+39/],
    ["{}", "PURSUIT_INVALID_FIELD", /^input must be a list of numbers; it is missing/],
    ['{"input": [1, 2], "format": "csr"}', "PURSUIT_INVALID_FIELD", /no field "format"/],
    ['{"input": [1, 2], "id": {}}', "PURSUIT_INVALID_FIELD", /^id must be/],
    [`{"input": [1, 2], "id": "${"x".repeat(300)}"}`, "PURSUIT_INVALID_FIELD", /^id must be/],
    ['{"input": [1, 2], "budget": 3}', "PURSUIT_INVALID_FIELD", /^budget must be an object/],
    ['{"input": [1, 2], "budget": {"k": 3}}', "PURSUIT_INVALID_FIELD", /budget has no field "k"; it takes max_atoms/],
    ['{"input": [1, 2], "budget": {"max_atoms": "3"}}', "PURSUIT_INVALID_FIELD", /budget\.max_atoms must be a number/],
  ])("finds the fault of %s, and leaves its neighbours alone", (line, code, message) => {
    const { rows, lines } = read("[1, 2]", line, "[3, 4]");
    expect([...rows.data]).toEqual([1, 2, 3, 4]);
    expect(lines[1]).toMatchObject({ line: 2, fault: { code, message: expect.stringMatching(message) } });
    expect([lines[0], lines[2]]).toEqual([{ line: 1 }, { line: 3 }]);
  });

  it("names a faulty line by its id, where that could be read", () => {
    expect(read('{"input": [1], "id": "mine"}').lines).toMatchObject([
      { id: "mine", fault: { code: "PURSUIT_WRONG_WIDTH" } },
    ]);
  });

  it("has a fault for each line that was dropped", () => {
    const { rows, lines } = readLines(groupOf(["[1,2]", "", "[3,4]"], [11], 10), { width: WIDTH, maxLine: 100 });
    expect(rows.count).toBe(2);
    expect(lines[1]).toEqual({
      line: 11,
      fault: { code: "PURSUIT_BODY_TOO_LARGE", message: "The line is over 100 bytes." },
    });
  });

  it("takes any text for rows and faults, each in its place", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string(), fc.json(), fc.constant("[1,2]"))), (given) => {
        const clean = given.map((line) => line.replaceAll("\n", " "));
        const { rows, lines } = read(...clean);
        expect(rows.count).toBe(lines.filter(({ fault }) => fault === undefined).length);
        expect(rows.data.length).toBe(rows.count * WIDTH);
        expect(lines.length).toBe(clean.filter((line) => /[^ \t\r]/.test(line)).length);
      }),
      { seed: 1, numRuns: 500 },
    );
  });
});

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const LIMITS = { maxLine: 1000, groupBytes: 100, groupLines: 7 };

/** Everything in groups, pushed in pieces of the given sizes. */
function split(given: string, sizes: readonly number[], limits = LIMITS) {
  const splitter = new LineSplitter(limits);
  const groups = [];
  const bytes = Buffer.from(given);
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    splitter.push(bytes.subarray(at, at + size));
    at += size;
    while (splitter.full) groups.push(splitter.take()!);
  }
  splitter.end();
  for (let group = splitter.take(); group !== null; group = splitter.take()) groups.push(group);
  expect([splitter.pending, splitter.take()]).toEqual([0, null]);
  return groups;
}

describe("LineSplitter", () => {
  it("gives every line once, in order and numbered, however the bytes come", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ maxLength: 30 }).map((line) => line.replaceAll("\n", ""))),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
        fc.boolean(),
        (lines, sizes, ended) => {
          const last = lines.at(-1) ?? "";
          const groups = split(lines.join("\n") + (ended && lines.length > 0 ? "\n" : ""), sizes);
          // Without its end an empty last line is none.
          const expected = !ended && last === "" ? lines.slice(0, -1) : lines;
          expect(groups.flatMap(({ bytes }) => text(bytes).split("\n").slice(0, -1))).toEqual(expected);
          let number = 1;
          for (const { firstLine, lines: count, bytes, tooLong } of groups) {
            expect([firstLine, tooLong]).toEqual([number, []]);
            expect(count).toBeLessThanOrEqual(LIMITS.groupLines);
            expect(bytes.length).toBeLessThanOrEqual(LIMITS.groupBytes + 31);
            number += count;
          }
        },
      ),
      { seed: 1, numRuns: 500 },
    );
  });

  it("drops a line that is too long, says which, and goes on with the next", () => {
    const long = "x".repeat(5000);
    for (const sizes of [[1], [64], [100_000]]) {
      const groups = split(`a\n${long}\nb\n${long}`, sizes);
      expect(groups.map(({ bytes }) => text(bytes)).join("")).toBe("a\n\nb\n\n");
      expect(groups.flatMap(({ tooLong }) => tooLong)).toEqual([2, 4]);
    }
  });

  it("says when a group is full", () => {
    const splitter = new LineSplitter(LIMITS);
    splitter.push(Buffer.from("1\n2\n3\n4\n5\n6\n"));
    expect([splitter.full, splitter.pending]).toEqual([false, 6]);
    splitter.push(Buffer.from("7"));
    expect(splitter.full).toBe(false);
    splitter.push(Buffer.from("\n8\n"));
    expect([splitter.full, splitter.take()!.lines, splitter.pending]).toEqual([true, 7, 1]);
  });
});
