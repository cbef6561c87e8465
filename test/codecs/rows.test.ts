import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readRows } from "../../src/codecs/rows.ts";
import { WireError } from "../../src/codecs/codec-error.ts";

const LIMITS = { maxRows: 1000 };
const read = (inputs: unknown, limits = LIMITS) => readRows(inputs, limits);

function faultOf(inputs: unknown, limits = LIMITS): Pick<WireError, "code" | "message"> {
  try {
    read(inputs, limits);
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
    return error as WireError;
  }
  return expect.unreachable("the rows were taken");
}

describe("readRows", () => {
  it("takes lists of numbers as float32, row by row", () => {
    fc.assert(
      fc.property(
        fc
          .integer({ min: 1, max: 6 })
          .chain((width) =>
            fc.array(fc.array(fc.double({ noNaN: true }), { minLength: width, maxLength: width }), { minLength: 1 }),
          ),
        (rows) => {
          expect(read(rows)).toEqual({
            data: Float32Array.from(rows.flat()),
            count: rows.length,
            width: rows[0]!.length,
            shape: [rows.length, rows[0]!.length],
          });
        },
      ),
      { seed: 1 },
    );
  });

  it("flattens [batch, seq, d] and keeps its shape", () => {
    const inputs = [
      [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
      [
        [7, 8],
        [9, 10],
        [11, 12],
      ],
    ];
    expect(read(inputs)).toEqual({
      data: Float32Array.from({ length: 12 }, (_, i) => i + 1),
      count: 6,
      width: 2,
      shape: [2, 3, 2],
    });
  });

  it.each<[unknown, string]>([
    [undefined, 'inputs must be a list of rows, or {"data", "dtype", "shape"}; it is missing.'],
    [null, "it is null."],
    ["rows", 'it is "rows".'],
    [7, "it is 7."],
    [[], "inputs holds no rows."],
    [[1, 2], "inputs must be a list of rows; for a single row write [[…]]."],
    [[[1, 2], null], "inputs[1] must be a list of numbers; it is null."],
    [[[1, 2], 3], "inputs[1] must be a list of numbers; it is 3."],
    [[[1, 2], { 0: 1, 1: 2, length: 2 }], "inputs[1] must be a list of numbers; it is an object."],
    [["abc"], 'inputs[0] must be a list of numbers; it is "abc".'],
    [[[1, "2"]], 'inputs[0][1] must be a number; it is "2".'],
    [[[1, null]], "inputs[0][1] must be a number; it is null."],
    [[[1, [2]]], "inputs[0][1] must be a number; it is a list."],
    [[[1, true]], "inputs[0][1] must be a number; it is true."],
    [[[1, "x".repeat(100)]], "inputs[0][1] must be a number; it is a string."],
    [[[[1, 2]], 5], "inputs[1] holds 5, inputs[0] holds 1 rows; all must hold as many."],
    [[[[1], [2]], [[1]]], "inputs[1] holds 1 rows, inputs[0] holds 2 rows; all must hold as many."],
    [
      [
        [[1], [2]],
        [[1], "x"],
      ],
      'inputs[1][1] must be a list of numbers; it is "x".',
    ],
    [
      [
        [[1], [2]],
        [[1], [null]],
      ],
      "inputs[1][1][0] must be a number; it is null.",
    ],
  ])("names the place of what is wrong with %j", (inputs, message) => {
    expect(faultOf(inputs)).toMatchObject({ code: "PURSUIT_INVALID_FIELD", message: expect.stringContaining(message) });
  });

  it.each<[unknown, string]>([
    [[[1, 2], [1]], "inputs[1] holds 1 numbers, inputs[0] holds 2; rows must be of one width."],
    [[[1], [1, 2]], "inputs[1] holds 2 numbers, inputs[0] holds 1; rows must be of one width."],
    [[[[1, 2]], [[3]]], "inputs[1][0] holds 1 numbers, inputs[0][0] holds 2; rows must be of one width."],
  ])("asks for one width in %j", (inputs, message) => {
    expect(faultOf(inputs)).toMatchObject({ code: "PURSUIT_WRONG_WIDTH", message });
  });

  it("says how many rows are too many", () => {
    const limits = { maxRows: 2 };
    expect(read([[1], [2]], limits).count).toBe(2);
    const message = "inputs holds 3 rows; at most 2 are taken at once. Send them in parts.";
    expect(faultOf([[1], [2], [3]], limits)).toMatchObject({ code: "PURSUIT_TOO_MANY_ROWS", message });
    expect(faultOf([[[1]], [[2]], [[3]]], limits)).toMatchObject({ code: "PURSUIT_TOO_MANY_ROWS", message });
  });

  it("claims no memory for rows that a wide first one only announces", () => {
    // 100,000 rows as wide as the first would be 400 GB.
    const inputs = [Array<number>(1_000_000).fill(0), ...Array.from({ length: 100_000 }, () => [])];
    expect(faultOf(inputs, { maxRows: 200_000 })).toMatchObject({
      code: "PURSUIT_WRONG_WIDTH",
      message: "inputs[1] holds 0 numbers, inputs[0] holds 1000000; rows must be of one width.",
    });
  });

  it("names the field that it was told", () => {
    expect(() => readRows([], LIMITS, "rows")).toThrow("rows holds no rows.");
  });
});
