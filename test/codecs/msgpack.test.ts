import fc from "fast-check";
import { pack } from "msgpackr";
import { describe, expect, it } from "vitest";
import * as reader from "../../src/codecs/msgpack.ts";
import { WireError } from "../../src/codecs/codec-error.ts";
import { ROWS_EXTENT } from "../support/limits.ts";

const parseMsgpack = (given: Uint8Array): unknown => reader.parseMsgpack(given, ROWS_EXTENT);
const MAX_DEPTH = ROWS_EXTENT.depth;

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

function faultOf(given: Uint8Array): WireError {
  try {
    parseMsgpack(given);
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
    return error as WireError;
  }
  return expect.unreachable("the bytes were taken");
}

/** What an API's body may hold, no deeper than it may be. */
const value = fc.letrec((tie) => ({
  leaf: fc.oneof(
    fc.double({ noNaN: true }),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.string(),
    fc.uint8Array({ maxLength: 300 }),
  ),
  list: fc.array(tie("leaf"), { maxLength: 20 }),
  map: fc.dictionary(
    fc.string().filter((key) => key !== "__proto__"),
    fc.oneof(tie("leaf"), tie("list")),
    { noNullPrototype: true, maxKeys: 20 },
  ),
  any: fc.oneof(tie("leaf"), tie("list"), tie("map")),
}));

/** Buffers of the two libraries as plain bytes. */
const plain = (given: unknown): unknown => {
  if (given instanceof Uint8Array) return { bytes: [...given] };
  if (Array.isArray(given)) return given.map(plain);
  if (typeof given === "object" && given !== null)
    return Object.fromEntries(Object.entries(given).map(([key, one]) => [key, plain(one)]));
  return given;
};

describe("parseMsgpack", () => {
  it("reads what a packer writes", () => {
    fc.assert(
      fc.property(value.any, (given) => {
        expect(plain(parseMsgpack(new Uint8Array(pack(given))))).toEqual(plain(given));
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  it("refuses whatever is cut short, and whatever has bytes to spare", () => {
    fc.assert(
      fc.property(value.any, fc.double({ min: 0, max: 0.999, noNaN: true }), (given, share) => {
        const whole = new Uint8Array(pack(given));
        expect(faultOf(whole.subarray(0, Math.floor(whole.length * share))).code).toBe("PURSUIT_MALFORMED_BODY");
        expect(faultOf(Uint8Array.from([...whole, 0])).message).toMatch(/1 bytes follow/);
      }),
      { seed: 2, numRuns: 300 },
    );
  });

  it("takes any bytes for a value or for a fault with a code, and never falls over", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (given) => {
        try {
          parseMsgpack(given);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
      { seed: 3, numRuns: 20_000 },
    );
  });

  it("leaves binary data where it lies", () => {
    const body = new Uint8Array(pack({ data: Buffer.of(1, 2, 3) }));
    const { data } = parseMsgpack(body) as { data: Uint8Array };
    expect([data.buffer === body.buffer, [...data]]).toEqual([true, [1, 2, 3]]);
  });

  it("makes doubles of 64-bit integers, and never a bigint", () => {
    for (const [head, expected] of [
      [0xcf, 2 ** 64],
      [0xd3, -1],
    ] as const) {
      expect(parseMsgpack(bytes(head, ...Array<number>(8).fill(255)))).toBe(expected);
    }
  });

  it.each<[string, Uint8Array, string, RegExp]>([
    ["nothing", bytes(), "PURSUIT_MALFORMED_BODY", /it is empty/],
    ["a byte that is never used", bytes(0xc1), "PURSUIT_MALFORMED_BODY", /0xc1/],
    ["a list of four billion", bytes(0xdd, 255, 255, 255, 255), "PURSUIT_MALFORMED_BODY", /ends in the middle/],
    ["a map of four billion", bytes(0xdf, 255, 255, 255, 255), "PURSUIT_MALFORMED_BODY", /ends in the middle/],
    ["text of four billion letters", bytes(0xdb, 255, 255, 255, 255), "PURSUIT_MALFORMED_BODY", /ends in the middle/],
    ["four billion bytes", bytes(0xc6, 255, 255, 255, 255, 1), "PURSUIT_MALFORMED_BODY", /ends in the middle/],
    ["a timestamp", bytes(0xd6, 255, 0, 0, 0, 0), "PURSUIT_INVALID_FIELD", /extension type at byte 0/],
    ["an extension of any length", bytes(0x91, 0xc9, 0, 0, 0, 1, 1, 0), "PURSUIT_INVALID_FIELD", /at byte 1/],
    ["a key that is a number", bytes(0x81, 1, 1), "PURSUIT_INVALID_FIELD", /key that is not text, at byte 1/],
    ["a key that is missing", bytes(0x81, 0xa1), "PURSUIT_MALFORMED_BODY", /ends in the middle/],
  ])("says what is wrong with %s", (_what, given, code, message) => {
    expect(faultOf(given)).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it("nests as deep as it must and no deeper, a million lists within lists included", () => {
    const nested = (depth: number): Uint8Array => bytes(...Array<number>(depth).fill(0x91), 0xc0);
    expect(() => parseMsgpack(nested(MAX_DEPTH))).not.toThrow();
    expect(faultOf(nested(MAX_DEPTH + 1)).code).toBe("PURSUIT_TOO_DEEP");
    expect(faultOf(new Uint8Array(1_000_000).fill(0x91)).code).toBe("PURSUIT_TOO_DEEP");
    expect(faultOf(new Uint8Array(1_000_000).fill(0x81)).code).not.toBe("PURSUIT_INTERNAL");
  });

  it("does not let a key reach an object's prototype", () => {
    // msgpackr's pack of an object would not write it.
    const key = Buffer.from("__proto__");
    const parsed = parseMsgpack(bytes(0x81, 0xa0 | key.length, ...key, 0x81, 0xa1, 0x78, 1)) as { x?: number };
    expect([parsed.x, ({} as { x?: number }).x]).toEqual([undefined, undefined]);
  });
});
