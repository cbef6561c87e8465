import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readInfer } from "../../../src/routes/oip/read-infer.ts";
import { OUTPUTS } from "../../../src/routes/oip/tensor.ts";
import { WireError } from "../../../src/codecs/codec-error.ts";
import { bytesOf, type PostedInput, v2Body } from "../../support/v2-body.ts";

const read = (bytes: Uint8Array, headerLength: number | null, d: number) =>
  readInfer({
    bytes: new Uint8Array(bytes),
    headerLength,
    d,
    limits: { maxRows: 64, maxUnpacked: 1 << 26 },
    inputs: ["rows", "max_atoms", "tolerance"],
    outputs: OUTPUTS,
  });

function readBody(inputs: readonly PostedInput[], d: number, fields: object = {}) {
  const { payload, headers } = v2Body(inputs, fields);
  const length = headers["inference-header-content-length"];
  return read(payload, length === undefined ? null : Number(length), d);
}

/** [n, d] float32, and whether they are sent in binary. */
const matrices = fc
  .record({ n: fc.integer({ min: 1, max: 8 }), d: fc.integer({ min: 1, max: 8 }), binary: fc.boolean() })
  .chain(({ n, d, binary }) =>
    fc.record({
      n: fc.constant(n),
      d: fc.constant(d),
      binary: fc.constant(binary),
      data: fc
        .array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: n * d, maxLength: n * d })
        // JSON has no negative zero.
        .map((values) => Float32Array.from(values, (value) => (value === 0 ? 0 : value))),
      atoms: fc.array(fc.integer({ min: 0, max: 4096 }), { minLength: n, maxLength: n }),
    }),
  );

describe("readInfer", () => {
  it("gives back every number, whatever the form and the order of the inputs", () => {
    fc.assert(
      fc.property(matrices, fc.boolean(), fc.boolean(), ({ n, d, binary, data, atoms }, first, columns) => {
        const rows = { name: "rows", datatype: "FP32", shape: [n, d], data: binary ? bytesOf(data) : [...data] };
        const counts = Int32Array.from(atoms);
        const maxAtoms = { name: "max_atoms", datatype: "INT32", shape: columns ? [n, 1] : [n], data: bytesOf(counts) };
        const { rows: got, budget } = readBody(first ? [maxAtoms, rows] : [rows, maxAtoms], d);
        expect(got).toEqual({ data, count: n, width: d });
        expect(budget).toEqual(atoms.map((one) => ({ maxAtoms: one })));
      }),
    );
  });

  it("refuses every cut of a body, and every byte too many, in words", () => {
    const { payload, headers } = v2Body([
      { name: "rows", datatype: "FP32", shape: [2, 2], data: bytesOf(Float32Array.of(1, 2, 3, 4)) },
      { name: "tolerance", datatype: "FP32", shape: [2], data: bytesOf(Float32Array.of(0.1, 0.2)) },
    ]);
    const header = Number(headers["inference-header-content-length"]);
    for (let length = 0; length < payload.length; length++)
      expect(() => read(payload.subarray(0, length), header, 2)).toThrow(WireError);
    for (const more of [1, 4, 8])
      expect(() => read(Buffer.concat([payload, Buffer.alloc(more)]), header, 2)).toThrow(/follow/);
    expect(read(payload, header, 2).rows.count).toBe(2);
  });

  it("answers anything at all with a request or a refusal, and nothing else", () => {
    const json = fc.json({ maxDepth: 4 }).map((text) => Buffer.from(text));
    const tensor = fc.record(
      {
        name: fc.constantFrom("rows", "max_atoms", "tolerance", "other"),
        datatype: fc.constantFrom("FP32", "FP16", "INT64", "BOOL", "BYTES", "x"),
        shape: fc.oneof(fc.array(fc.integer({ min: -1, max: 3 }), { maxLength: 3 }), fc.jsonValue()),
        parameters: fc.oneof(fc.record({ binary_data_size: fc.integer({ min: -1, max: 40 }) }), fc.jsonValue()),
        data: fc.oneof(fc.array(fc.double(), { maxLength: 6 }), fc.jsonValue()),
      },
      { requiredKeys: [] },
    );
    const likely = fc
      .record(
        {
          id: fc.oneof(fc.string(), fc.jsonValue()),
          inputs: fc.oneof(fc.array(tensor, { maxLength: 3 }), fc.jsonValue()),
          outputs: fc.oneof(fc.array(fc.record({ name: fc.constantFrom(...OUTPUTS, "x") })), fc.jsonValue()),
          parameters: fc.oneof(fc.record({ max_atoms: fc.jsonValue() }), fc.jsonValue()),
        },
        { requiredKeys: [] },
      )
      .map((body) => Buffer.from(JSON.stringify(body)));
    const bodies = fc.oneof(json, likely, fc.uint8Array({ maxLength: 64 }));
    fc.assert(
      fc.property(
        bodies,
        fc.uint8Array({ maxLength: 40 }),
        fc.constantFrom(0, 1, null, "json"),
        (head, tail, header) => {
          const length = typeof header === "string" ? head.length : header;
          try {
            const { rows } = read(Buffer.concat([head, tail]), length, 2);
            expect(rows.data.length).toBe(rows.count * 2);
          } catch (error) {
            expect(error).toBeInstanceOf(WireError);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("sets nothing aside for a shape that its data does not fill", () => {
    const claim = (name: string, data: unknown): Buffer =>
      Buffer.from(JSON.stringify({ inputs: [{ name, datatype: "FP32", shape: [64, 2 ** 30], data }] }));
    expect(() => read(claim("rows", [1]), null, 2 ** 30)).toThrow(/holds 1 numbers; shape \[64, 1073741824\]/);
  });

  it("reads 64-bit integers that are budgets exactly", () => {
    const data = bytesOf(BigInt64Array.of(2n ** 40n, -1n));
    const { budget } = readBody(
      [
        { name: "rows", datatype: "FP32", shape: [2, 1], data: [1, 2] },
        { name: "max_atoms", datatype: "INT64", shape: [2], data },
      ],
      1,
    );
    expect(budget).toEqual([{ maxAtoms: 2 ** 40 }, { maxAtoms: -1 }]);
  });
});
