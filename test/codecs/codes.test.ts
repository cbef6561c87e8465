import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readCodes } from "../../src/codecs/codes.ts";
import { WireError } from "../../src/codecs/codec-error.ts";

const LIMITS = { maxRows: 50 };

function faultOf(codes: unknown): Pick<WireError, "code" | "message"> {
  try {
    readCodes(codes, LIMITS);
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
    return error as WireError;
  }
  return expect.unreachable("the codes were taken");
}

const NORM = { shift: 0.5, scale: 2 };

describe("readCodes", () => {
  it("puts codes into compressed rows, one after another", () => {
    const entry = fc.tuple(
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      fc.float({ noNaN: true, noDefaultInfinity: true }),
    );
    fc.assert(
      fc.property(fc.array(fc.array(entry, { maxLength: 5 }), { minLength: 1, maxLength: 20 }), (rows) => {
        const codes = rows.map((row) => ({
          indices: row.map(([index]) => index),
          values: row.map(([, value]) => value),
        }));
        const { count, indptr, indices, values, norm } = readCodes(codes, LIMITS);
        expect([count, indptr[0], norm]).toEqual([rows.length, 0, undefined]);
        for (const [i, code] of codes.entries()) {
          expect([...indices.subarray(indptr[i], indptr[i + 1])]).toEqual(code.indices);
          expect([...values.subarray(indptr[i], indptr[i + 1])]).toEqual(code.values);
        }
      }),
      { seed: 1 },
    );
  });

  it("takes a code as encode answered it", () => {
    const answered = {
      atoms: 1,
      steps: 1,
      residual_norm: 0.1,
      relative_error: 0.1,
      stop: "max_atoms",
      reconstruction: [1],
    };
    expect(readCodes([{ indices: [3], values: [0.5], norm: NORM, ...answered }], LIMITS)).toEqual({
      count: 1,
      indptr: Uint32Array.of(0, 1),
      indices: Uint32Array.of(3),
      values: Float32Array.of(0.5),
      norm: { shift: Float32Array.of(0.5), scale: Float32Array.of(2) },
    });
  });

  it.each<[unknown, string]>([
    [undefined, 'codes must be a list of {"indices", "values"}; it is missing.'],
    [{ indices: [], values: [] }, "it is an object."],
    [[], "codes holds no codes."],
    [[null], 'codes[0] must be {"indices", "values"}; it is null.'],
    [[[1]], 'codes[0] must be {"indices", "values"}; it is a list.'],
    [[{ values: [] }], "codes[0].indices must be a list of numbers; it is missing."],
    [[{ indices: [], values: {} }], "codes[0].values must be a list of numbers; it is an object."],
    [[{ indices: [0, 1.5], values: [1, 1] }], "codes[0].indices[1] must be an integer ≥ 0; it is 1.5."],
    [[{ indices: [-1], values: [1] }], "codes[0].indices[0] must be an integer ≥ 0; it is -1."],
    [[{ indices: [2 ** 32], values: [1] }], "codes[0].indices[0] must be an integer ≥ 0; it is 4294967296."],
    [[{ indices: ["0"], values: [1] }], 'codes[0].indices[0] must be an integer ≥ 0; it is "0".'],
    [[{ indices: [0], values: [null] }], "codes[0].values[0] must be a finite number; it is null."],
    [
      [
        { indices: [0], values: [1] },
        { indices: [0], values: [1], weights: [] },
      ],
      'codes[1] has no field "weights"',
    ],
    [[{ indices: [], values: [], norm: null }], 'codes[0].norm must be {"shift", "scale"}, two finite numbers'],
    [[{ indices: [], values: [], norm: { shift: 1 } }], "codes[0].norm must be"],
    [[{ indices: [], values: [], norm: { ...NORM, mean: 1 } }], "codes[0].norm must be"],
    [
      [
        { indices: [], values: [], norm: NORM },
        { indices: [], values: [] },
      ],
      "codes: either every code carries a norm or none does.",
    ],
  ])("names the place of what is wrong with %j", (codes, message) => {
    expect(faultOf(codes)).toMatchObject({ code: "PURSUIT_INVALID_FIELD", message: expect.stringContaining(message) });
  });

  it("asks for as many values as indices", () => {
    expect(
      faultOf([
        { indices: [], values: [] },
        { indices: [1, 2], values: [1] },
      ]),
    ).toMatchObject({
      code: "PURSUIT_INVALID_CODE",
      message: "codes[1] holds 2 indices and 1 values.",
    });
  });

  it("says how many codes are too many", () => {
    expect(faultOf(Array.from({ length: 51 }, () => ({ indices: [], values: [] })))).toMatchObject({
      code: "PURSUIT_TOO_MANY_ROWS",
      message: "codes holds 51 rows; at most 50 are taken at once. Send them in parts.",
    });
  });
});
