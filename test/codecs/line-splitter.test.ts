import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LineSplitter } from "../../src/codecs/line-splitter.ts";

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
