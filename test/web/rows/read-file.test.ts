import { describe, expect, it } from "vitest";
import { readRowsFile } from "../../../web/src/rows/read-file.ts";
import { npyBytes } from "../../support/npy-bytes.ts";

const ROWS = [1, -2, 0.5, 0.25, 1024, 0];

const bufferOf = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer;

function safetensors(tensors: Record<string, { dtype: string; shape: number[]; bytes: Uint8Array }>): ArrayBuffer {
  let at = 0;
  const header: Record<string, unknown> = { __metadata__: { format: "np" } };
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  const head = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  return bufferOf(Buffer.concat([length, head, ...Object.values(tensors).map(({ bytes }) => bytes)]));
}

const f32 = (values: readonly number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

describe("a .npy file", () => {
  it.each([
    ["<f4", 1],
    ["<f8", 1],
    ["<f2", 1],
    ["<f4", 2],
  ])("of %s, format %i, is rows", (dtype, version) => {
    const { name, count, width, data } = readRowsFile("x.npy", bufferOf(npyBytes([3, 2], ROWS, { dtype, version })));
    expect([name, count, width, [...data]]).toEqual(["x.npy", 3, 2, ROWS]);
  });

  it("of one dimension is one row, and of three is rows of the last", () => {
    expect(readRowsFile("x.npy", bufferOf(npyBytes([6], ROWS)))).toMatchObject({ count: 1, width: 6 });
    expect(readRowsFile("x.npy", bufferOf(npyBytes([3, 1, 2], ROWS)))).toMatchObject({ count: 3, width: 2 });
  });

  it.each([
    ["in column order", npyBytes([3, 2], ROWS, { fortran: true }), "x.npy is in column order."],
    ["of integers", npyBytes([3, 2], ROWS, { dtype: "<i4" }), "x.npy holds numbers of type <i4."],
    [
      "that ends early",
      npyBytes([3, 2], ROWS).subarray(0, -1),
      "x.npy ends early: [3, 2] needs 24 bytes, and there are 23.",
    ],
    ["without rows", npyBytes([0, 2], []), "x.npy holds no rows: its shape is [0, 2]."],
    ["that is its first bytes only", npyBytes([3, 2], ROWS).subarray(0, 12), "x.npy is not a .npy array of numbers"],
  ])("%s is refused with the reason", (_what, bytes, message) => {
    expect(() => readRowsFile("x.npy", bufferOf(bytes))).toThrow(message);
  });
});

describe("a .safetensors file", () => {
  it("gives the tensor rows, or the only one", () => {
    const rows = { dtype: "F32", shape: [3, 2], bytes: f32(ROWS) };
    const other = { dtype: "F32", shape: [1], bytes: f32([9]) };
    expect([...readRowsFile("x.safetensors", safetensors({ other, rows })).data]).toEqual(ROWS);
    expect([...readRowsFile("x.safetensors", safetensors({ acts: rows })).data]).toEqual(ROWS);
    expect(() => readRowsFile("x.safetensors", safetensors({ a: rows, b: other }))).toThrow(
      "x.safetensors holds 2 tensors (a, b). Name the one to read rows.",
    );
  });

  it("may be bfloat16", () => {
    const bytes = new Uint8Array(Uint16Array.of(0x3f80, 0xc000, 0x7f80, 0x3f00).buffer);
    expect([
      ...readRowsFile("x.safetensors", safetensors({ rows: { dtype: "BF16", shape: [2, 2], bytes } })).data,
    ]).toEqual([1, -2, Infinity, 0.5]);
  });

  it.each([
    ["text", Buffer.from("a,b,c\n1,2,3\n")],
    ["nothing", Buffer.alloc(0)],
    ["an announced header that is not there", Buffer.from("ffff000000000000", "hex")],
    ["a header that is no JSON", Buffer.concat([Buffer.from("0300000000000000", "hex"), Buffer.from("abc")])],
  ])("of %s is refused", (_what, bytes) => {
    expect(() => readRowsFile("x.csv", bufferOf(bytes))).toThrow("x.csv is neither a .npy nor a .safetensors file.");
  });
});
