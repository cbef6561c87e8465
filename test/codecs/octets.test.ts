import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Dtype, DTYPES } from "../../src/codecs/rows.ts";
import { type Query, readBody } from "../../src/codecs/read-body.ts";
import { WireError } from "../../src/codecs/codec-error.ts";
import { npyBytes } from "../support/npy-bytes.ts";

const LIMITS = { maxRows: 1000, maxUnpacked: 1 << 20 };
const WIDTH = 3;
const BYTES = { float32: 4, float64: 8, float16: 2, bfloat16: 2 } as const;

const read = (bytes: Uint8Array, query: Query, width: number | null = WIDTH) =>
  readBody("encode", bytes, { type: "octet-stream", query, width, sizes: null }, LIMITS);

function faultOf(bytes: Uint8Array, query: Query, width: number | null = WIDTH): WireError {
  try {
    read(bytes, query, width);
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
    return error as WireError;
  }
  return expect.unreachable("the bytes were taken");
}

describe("two sets in a body of bytes", () => {
  const two = (bytes: Uint8Array, query: Query, type: "npy" | "octet-stream" = "octet-stream") =>
    readBody("contrast", bytes, { type, query, width: WIDTH, sizes: null }, LIMITS);
  const numbers = Array.from({ length: 12 }, (_, i) => i);
  const bytes = new Uint8Array(Float32Array.from(numbers).buffer);
  const sets = (first: number, rest: readonly number[] = [3]) => ({
    a: { rows: rowsOf(numbers.slice(0, first * 3), [first, ...rest]) },
    b: { rows: rowsOf(numbers.slice(first * 3), [4 - first, ...rest]) },
  });
  const rowsOf = (data: readonly number[], shape: readonly number[]) => ({
    data: Float32Array.from(data),
    count: data.length / 3,
    width: 3,
    shape,
  });

  it.each([1, 2, 3])("are divided after rows_a, %i", (first) => {
    const query = { dtype: "float32", rows: "4", rows_a: String(first), seed: "7", limit: "2", permutations: "0" };
    const fields = { seed: 7, limit: 2, permutations: 0 };
    expect(two(bytes, query)).toEqual({ ...sets(first), fields });
    expect(two(npyBytes([4, 3], numbers), { rows_a: String(first) }, "npy")).toEqual({ ...sets(first), fields: {} });
  });

  it("are counted by the first dimension of a .npy file", () => {
    const { a, b } = two(npyBytes([2, 2, 3], numbers), { rows_a: "1" }, "npy");
    expect([a, b]).toMatchObject([{ rows: { count: 2, shape: [1, 2, 3] } }, { rows: { count: 2, shape: [1, 2, 3] } }]);
  });

  it.each([undefined, "0", "4", "1.5", "x", "-1"])("are refused where rows_a is %s", (first) => {
    const query = { dtype: "float32", rows: "4", ...(first !== undefined && { rows_a: first }) };
    const said = first === undefined ? /from 1 to 3; it is missing/ : /rows_a in the query .* from 1 to 3; it is /;
    expect(() => two(bytes, query)).toThrow(said);
  });
});

describe("a .npy body", () => {
  const readNpy = (bytes: Uint8Array, query: Query = {}, type: "npy" | "octet-stream" = "npy") =>
    readBody("encode", bytes, { type, query, width: WIDTH, sizes: null }, LIMITS);
  const said = (bytes: Uint8Array, query: Query = {}): string => {
    try {
      readNpy(bytes, query);
    } catch (error) {
      expect(error).toBeInstanceOf(WireError);
      return `${(error as WireError).code} ${(error as WireError).message}`;
    }
    return expect.unreachable("the file was taken");
  };

  it.each(["<f2", "<f4", "<f8"])("of %s gives its rows, whatever their shape", (dtype) => {
    const numbers = Array.from({ length: 12 }, (_, i) => i / 4);
    for (const shape of [
      [4, 3],
      [2, 2, 3],
    ]) {
      const { rows, fields } = readNpy(npyBytes(shape, numbers, { dtype }), { max_atoms: "2" });
      expect(rows).toEqual({ data: Float32Array.from(numbers), count: 4, width: 3, shape });
      expect(fields).toEqual({ budget: { max_atoms: 2 } });
    }
    // numpy marks one row so where the array was a column before.
    expect(readNpy(npyBytes([1, 3], [1, 2, 3], { fortran: true }), {}, "octet-stream").rows.count).toBe(1);
  });

  it("is not copied where it is float32: numpy aligns its data", () => {
    const bytes = Uint8Array.from(npyBytes([2, 3], [1, 2, 3, 4, 5, 6]));
    expect(readNpy(bytes).rows.data.buffer).toBe(bytes.buffer);
  });

  it("is refused with what to do", () => {
    const file = npyBytes([2, 3], [1, 2, 3, 4, 5, 6]);
    expect(said(Buffer.from("[[1, 2, 3]]"))).toMatch(/^PURSUIT_MALFORMED_BODY The \.npy body is no \.npy file/);
    expect(said(file.subarray(0, 40))).toMatch(/ends within its header/);
    expect(said(file.subarray(0, -4))).toMatch(
      /^PURSUIT_WRONG_LENGTH .*is 20 bytes; shape \[2, 3\] of float32 takes 24/,
    );
    expect(said(npyBytes([2, 3], [1, 2, 3, 4, 5, 6], { dtype: ">f4" }))).toMatch(/astype\(numpy\.float32\)/);
    expect(said(npyBytes([2, 3], [1, 2, 3, 4, 5, 6], { fortran: true }))).toMatch(/numpy\.ascontiguousarray/);
    expect(said(npyBytes([3], [1, 2, 3]))).toMatch(/inputs\.shape must be a list of 2 to 8 sizes/);
    expect(said(npyBytes([2 ** 30, 3], []))).toMatch(/inputs holds 1073741824 rows; at most 1000/);
    const claims = Uint8Array.from(npyBytes([1, 3], [1, 2, 3], { version: 2 }));
    new DataView(claims.buffer).setUint32(8, 2 ** 31, true);
    expect(said(claims)).toMatch(/claims a header of 2147483648 bytes; the limit is 65536/);
  });
});

describe("a body of bytes", () => {
  it("is its float32 values, in place", () => {
    const data = Float32Array.of(1, -2.5, 3e-40, 4, 5, 6);
    const bytes = new Uint8Array(data.buffer);
    const { rows, fields } = read(bytes, { dtype: "float32", rows: "2" });
    expect(rows).toEqual({ data, count: 2, width: WIDTH, shape: [2, WIDTH] });
    expect(rows.data.buffer).toBe(bytes.buffer);
    expect(fields).toEqual({});
  });

  it("is copied where it does not lie on a multiple of four", () => {
    const data = Float32Array.of(1, 2, 3);
    const odd = new Uint8Array(13);
    odd.set(new Uint8Array(data.buffer), 1);
    expect(read(odd.subarray(1), { dtype: "float32", rows: "1" }).rows.data).toEqual(data);
  });

  it("is read in every dtype, and refused at every other length", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...(Object.keys(DTYPES) as Dtype[])),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 0, max: 1000 }),
        (dtype, rows, length) => {
          const right = rows * WIDTH * BYTES[dtype];
          const query = { dtype, rows: String(rows) };
          expect(read(new Uint8Array(right), query).rows.data).toEqual(new Float32Array(rows * WIDTH));
          if (length !== right) expect(faultOf(new Uint8Array(length), query).code).toBe("PURSUIT_WRONG_LENGTH");
        },
      ),
      { seed: 1 },
    );
  });

  it("takes its other fields from the query, as the schema knows them", () => {
    const bytes = new Uint8Array(12);
    const query = {
      dtype: "float32",
      rows: "1",
      max_atoms: "16",
      tolerance: "1e-3",
      format: "csr",
      include: "trace,labels",
      timeout_ms: "250.5",
      on_overload: "reject",
    };
    expect(read(bytes, query).fields).toEqual({
      budget: { max_atoms: 16, tolerance: 0.001 },
      format: "csr",
      include: ["trace", "labels"],
      timeout_ms: 250.5,
      on_overload: "reject",
    });
    const budget = [{ max_atoms: 3 }];
    expect(read(bytes, { dtype: "float32", rows: "1", budget: JSON.stringify(budget) }).fields).toEqual({ budget });
    // Not a number, and so the schema's to refuse.
    expect(read(bytes, { dtype: "float32", rows: "1", max_atoms: "0x10" }).fields).toEqual({
      budget: { max_atoms: "0x10" },
    });
  });

  it.each<[string, number, Query, string, RegExp]>([
    ["no dtype", 12, { rows: "1" }, "PURSUIT_INVALID_FIELD", /^dtype in the query .*float32.*missing/],
    ["an unknown dtype", 12, { dtype: "int8", rows: "1" }, "PURSUIT_INVALID_FIELD", /it is "int8"/],
    ["no rows", 12, { dtype: "float32" }, "PURSUIT_INVALID_FIELD", /^rows in the query .*missing/],
    ["no number of rows", 12, { dtype: "float32", rows: "-1" }, "PURSUIT_INVALID_FIELD", /it is "-1"/],
    ["nothing", 0, { dtype: "float32", rows: "0" }, "PURSUIT_INVALID_FIELD", /1 or more/],
    ["rows twice", 12, { dtype: "float32", rows: ["1", "2"] }, "PURSUIT_INVALID_FIELD", /rows in the query/],
    ["a field twice", 12, { dtype: "float32", rows: "1", format: ["csr", "map"] }, "PURSUIT_INVALID_FIELD", /"format"/],
    [
      "two budgets",
      12,
      { dtype: "float32", rows: "1", budget: "{}", max_atoms: "3" },
      "PURSUIT_INVALID_FIELD",
      /holds budget and also max_atoms/,
    ],
    ["cut JSON", 12, { dtype: "float32", rows: "1", budget: "{" }, "PURSUIT_MALFORMED_BODY", /ends in the middle/],
    ["too many rows", 12_012, { dtype: "float32", rows: "1001" }, "PURSUIT_TOO_MANY_ROWS", /1001 rows; at most 1000/],
    [
      "float64",
      48,
      { dtype: "float32", rows: "2" },
      "PURSUIT_WRONG_LENGTH",
      /48 bytes.*take 24.*float64.*dtype=float64/,
    ],
    ["half of it", 12, { dtype: "float32", rows: "2" }, "PURSUIT_WRONG_LENGTH", /half as long/],
    ["more rows", 36, { dtype: "float32", rows: "2" }, "PURSUIT_WRONG_LENGTH", /It holds 3 such rows/],
    ["a torn number", 25, { dtype: "float32", rows: "2" }, "PURSUIT_WRONG_LENGTH", /25 bytes.*take 24\.$/],
  ])("says what is wrong with %s", (_what, length, query, code, message) => {
    expect(faultOf(new Uint8Array(length), query)).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it("is as wide as its length says where the dictionary is not loaded", () => {
    expect(read(new Uint8Array(40), { dtype: "float32", rows: "2" }, null).rows).toMatchObject({ count: 2, width: 5 });
    expect(faultOf(new Uint8Array(41), { dtype: "float32", rows: "2" }, null).message).toMatch(/not a whole number/);
  });
});
