import { describe, expect, it } from "vitest";
import { dataToRows, readRows } from "../../src/codecs/rows.ts";
import { type PostedRows, WireError } from "../../src/codecs/codec-error.ts";

const LIMITS = { maxRows: 100 };
const ROWS = [1, -2.5, 0.1, 4, 0, 1e-3];
const base64 = (array: Float32Array | Float64Array | Uint16Array | Uint8Array): string =>
  Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("base64");
const read = (value: object): PostedRows => dataToRows(value, LIMITS, "inputs");

function faultOf(value: object): Pick<WireError, "code" | "message"> {
  try {
    read(value);
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
    return error as WireError;
  }
  return expect.unreachable("the data was taken");
}

describe("base64 rows", () => {
  it("are the same as a list of the same numbers", () => {
    const data = base64(Float32Array.from(ROWS));
    const listed = readRows([ROWS.slice(0, 3), ROWS.slice(3)], LIMITS);
    expect(readRows({ data, dtype: "float32", shape: [2, 3] }, LIMITS)).toEqual(listed);
    expect(read({ data, dtype: "float32", shape: [1, 2, 3] })).toEqual({ ...listed, shape: [1, 2, 3] });
  });

  it.each([
    ["float64", base64(Float64Array.from(ROWS)), ROWS],
    [
      "float16",
      base64(Uint16Array.of(0x3c00, 0xc000, 0x7bff, 1, 0, 0x3555)),
      [1, -2, 65_504, 2 ** -24, 0, 0.333251953125],
    ],
    ["bfloat16", base64(Uint16Array.of(0x3f80, 0xc000, 0x4049, 0, 1, 0xbf00)), [1, -2, 3.140625, 0, 2 ** -133, -0.5]],
  ])("of %s are widened or rounded to float32", (dtype, data, numbers) => {
    expect(read({ data, dtype, shape: [3, 2] })).toMatchObject({
      data: Float32Array.from(numbers),
      count: 3,
      width: 2,
    });
  });

  it.each<[object, string]>([
    [{ dtype: "float32", shape: [1, 2] }, "inputs.data must be base64 text; it is missing."],
    [{ data: [1], dtype: "float32", shape: [1, 2] }, "inputs.data must be base64 text; it is a list."],
    [{ data: "", shape: [1, 2] }, "inputs.dtype must be one of float32, float64, float16, bfloat16; it is missing."],
    [{ data: "", dtype: "int8", shape: [1, 2] }, 'it is "int8".'],
    [{ data: "", dtype: "toString", shape: [1, 2] }, 'it is "toString".'],
    [{ data: "", dtype: "float32" }, "inputs.shape must be a list of 2 to 8 sizes, the last being the row length d."],
    [{ data: "", dtype: "float32", shape: [2] }, "inputs.shape must be a list of 2 to 8 sizes"],
    [{ data: "", dtype: "float32", shape: Array(9).fill(1) }, "inputs.shape must be a list of 2 to 8 sizes"],
    [{ data: "", dtype: "float32", shape: [1.5, 2] }, "inputs.shape must be a list of 2 to 8 sizes"],
    [{ data: "", dtype: "float32", shape: [-1, 2] }, "inputs.shape must be a list of 2 to 8 sizes"],
    [{ data: "", dtype: "float32", shape: ["1", 2] }, "inputs.shape must be a list of 2 to 8 sizes"],
    [{ data: "", dtype: "float32", shape: [2 ** 30, 2 ** 30] }, "inputs.shape is larger than any body."],
    [{ data: "", dtype: "float32", shape: [0, 2] }, "inputs holds no rows."],
    [
      { data: "", dtype: "float32", shape: [1, 2], order: "F" },
      'inputs has no field "order"; it takes data, dtype and shape.',
    ],
  ])("%j are refused by name", (value, message) => {
    expect(faultOf(value)).toMatchObject({ code: "PURSUIT_INVALID_FIELD", message: expect.stringContaining(message) });
  });

  it("of another length are refused with both lengths, and a hint where they are twice as long", () => {
    const shape = [2, 3];
    expect(faultOf({ data: base64(new Uint8Array(23)), dtype: "float32", shape })).toMatchObject({
      code: "PURSUIT_WRONG_LENGTH",
      message: "inputs.data is 23 bytes; shape [2, 3] of float32 takes 24.",
    });
    expect(faultOf({ data: base64(new Float64Array(6)), dtype: "float32", shape })).toMatchObject({
      code: "PURSUIT_WRONG_LENGTH",
      message: "inputs.data is 48 bytes; shape [2, 3] of float32 takes 24. It is twice as long: is it float64?",
    });
    expect(faultOf({ data: "not base64!", dtype: "float32", shape }).code).toBe("PURSUIT_WRONG_LENGTH");
  });

  it("of too many rows are refused before their length is looked at", () => {
    expect(faultOf({ data: "", dtype: "float32", shape: [101, 2] })).toMatchObject({
      code: "PURSUIT_TOO_MANY_ROWS",
      message: "inputs holds 101 rows; at most 100 are taken at once. Send them in parts.",
    });
  });
});
