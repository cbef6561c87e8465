import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FormatError } from "../../../../src/engine/dictionaries/formats/format-error.ts";
import { encodeSafetensors, SafetensorsFile } from "../../../../src/engine/dictionaries/formats/safetensors.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const folder = temporaryFolder();
let files = 0;

interface ReadTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Everything in a file of these bytes, read through the disk as a server reads it. */
async function readAll(bytes: Uint8Array): Promise<{ tensors: Record<string, ReadTensor>; metadata: object }> {
  const path = join(folder, `${files++}.safetensors`);
  writeFileSync(path, bytes);
  const file = await SafetensorsFile.open(path);
  try {
    const read = [...file.tensors].map(async ([name, { shape }]) => [
      name,
      { shape, data: await file.readFloats(name) },
    ]);
    return {
      tensors: Object.fromEntries(await Promise.all(read)) as Record<string, ReadTensor>,
      metadata: file.metadata,
    };
  } finally {
    await file.close();
  }
}

function fileOf(header: string, data: Uint8Array | number = 0, claimed?: bigint): Uint8Array {
  const text = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed ?? BigInt(text.length));
  return Buffer.concat([length, text, typeof data === "number" ? Buffer.alloc(data) : data]);
}

const tensor = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }).chain((shape) =>
  fc
    .array(fc.float({ noNaN: true }), {
      minLength: shape.reduce((a, b) => a * b, 1),
      maxLength: shape.reduce((a, b) => a * b, 1),
    })
    .map((data) => ({ shape, data: Float32Array.from(data) })),
);

describe("a safetensors file", () => {
  it("comes back as it was written", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.string({ minLength: 1, unit: "grapheme" }), tensor, { maxKeys: 4, noNullPrototype: true }),
        fc.dictionary(fc.stringMatching(/^[a-z]{1,9}$/), fc.string(), { maxKeys: 2, noNullPrototype: true }),
        async (tensors, metadata) => {
          fc.pre(!Object.hasOwn(tensors, "__proto__") && !Object.hasOwn(tensors, "__metadata__"));
          const bytes = Buffer.concat(encodeSafetensors(tensors, metadata));
          expect(await readAll(bytes)).toEqual({ tensors, metadata });
        },
      ),
      { seed: 1, numRuns: 60 },
    );
  });

  const whole = Buffer.concat(
    encodeSafetensors(
      {
        atoms: { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
        b: { shape: [1], data: Float32Array.of(7) },
      },
      { made: "by a test" },
    ),
  );

  it("that is cut anywhere is refused", async () => {
    for (let length = 0; length < whole.length; length++) {
      await expect(readAll(whole.subarray(0, length)), `${length} bytes`).rejects.toBeInstanceOf(FormatError);
    }
  });

  it("with any byte changed is refused, or read as what it then says", async () => {
    const dataStart = 8 + Number(whole.readBigUInt64LE());
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const bytes = Buffer.from(whole);
        bytes[at]! ^= change;
        const outcome = await readAll(bytes).catch((error: unknown) => error as Error);
        if (outcome instanceof Error) {
          expect(outcome).toBeInstanceOf(FormatError);
          expect(at).toBeLessThan(dataStart);
          return;
        }
        // Read after all: every tensor has the numbers that its shape asks for, and together they are the data.
        const all = Object.values(outcome.tensors);
        for (const { shape, data } of all) expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
        if (at >= dataStart) expect(Object.keys(outcome.tensors)).toEqual(["atoms", "b"]);
      }),
      { seed: 2, numRuns: 600 },
    );
  });

  const entry = (fields: object): string =>
    JSON.stringify({ a: { dtype: "F32", shape: [2], data_offsets: [0, 8], ...fields } });
  const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;

  it.each<[string, Uint8Array, RegExp]>([
    ["shorter than its length field", Buffer.alloc(7), /7 bytes are not a safetensors file/],
    ["whose header ends beyond it", fileOf("{}", 0, 3n), /claims a header of 3 bytes in a file of 10/],
    ["with a header of 2^64 - 1 bytes", fileOf("{}", 0, 2n ** 64n - 1n), /claims a header/],
    ["whose header is not JSON", fileOf("{'a': 1}"), /not JSON/],
    ["whose header is empty", fileOf(""), /not JSON/],
    ["whose header is a list", fileOf("[]"), /not a JSON object/],
    ["whose header is null", fileOf("null"), /not a JSON object/],
    ["with metadata of numbers", fileOf('{"__metadata__": {"a": 1}}'), /__metadata__/],
    ["with a tensor that is no object", fileOf('{"a": []}'), /"a" is described by no object/],
    ["of a type that is not read", fileOf(entry({ dtype: "F4" }), 8), /type F4.*Save it as float32/],
    [
      "that is a git-lfs pointer",
      Buffer.from("version https://git-lfs.github.com/spec/v1\noid"),
      /is a git-lfs pointer/,
    ],
    ["of a type that is a number", fileOf(entry({ dtype: 32 }), 8), /unknown type 32/],
    ["of a type that every object has", fileOf(entry({ dtype: "toString" }), 8), /unknown type "toString"/],
    ["with a negative size", fileOf(entry({ shape: [-2] }), 8), /invalid shape/],
    ["with a fractional size", fileOf(entry({ shape: [0.5, 4] }), 8), /invalid shape/],
    ["with a size beyond exact integers", fileOf(entry({ shape: [2 ** 53] }), 8), /invalid shape/],
    ["with a shape nested without end", fileOf(`{"a": {"dtype": "F32", "shape": ${deep}}}`), /invalid shape/],
    ["with sizes whose product overflows", fileOf(entry({ shape: [2 ** 40, 2 ** 40] }), 8), /but its offsets span 8/],
    ["with one offset", fileOf(entry({ data_offsets: [0] }), 8), /invalid data_offsets/],
    ["with offsets that are text", fileOf(entry({ data_offsets: "08" }), 8), /invalid data_offsets/],
    [
      "with offsets nested without end",
      fileOf(`{"a": {"dtype": "F32", "shape": [2], "data_offsets": ${deep}}}`),
      /invalid/,
    ],
    ["with offsets that run backwards", fileOf(entry({ data_offsets: [8, 0] }), 8), /invalid data_offsets/],
    ["with a negative offset", fileOf(entry({ data_offsets: [-8, 0] }), 8), /invalid data_offsets/],
    ["with an offset beyond exact integers", fileOf(entry({ data_offsets: [2 ** 53, 2 ** 53 + 8] })), /invalid/],
    ["with fewer bytes than its shape", fileOf(entry({ shape: [3] }), 8), /needs 12 bytes, but its offsets span 8/],
    ["with data behind its end", fileOf(entry({}), 9), /its tensors end at/],
    ["with a gap before its first tensor", fileOf(entry({ data_offsets: [4, 12] }), 12), /begins at byte/],
  ])("%s is refused", async (_what, bytes, message) => {
    const outcome: unknown = await readAll(bytes).catch((error: unknown) => error);
    expect(outcome).toBeInstanceOf(FormatError);
    expect((outcome as Error).message).toMatch(message);
    expect((outcome as Error).message.length).toBeLessThan(1000);
  });

  it.each([
    ["overlap", [0, 8], [4, 12], 12],
    ["leave a gap", [0, 8], [12, 20], 20],
    ["lie in the same place", [0, 8], [0, 8], 8],
  ])("whose tensors %s is refused", async (_what, a, b, size) => {
    const header = {
      a: { dtype: "F32", shape: [2], data_offsets: a },
      b: { dtype: "F32", shape: [2], data_offsets: b },
    };
    await expect(readAll(fileOf(JSON.stringify(header), size))).rejects.toThrow(/tensor "b" begins at byte/);
  });

  it("that names a tensor twice counts the last, whose place must then be the whole data", async () => {
    const one = (offsets: string): string => `"a": {"dtype": "F32", "shape": [1], "data_offsets": ${offsets}}`;
    await expect(readAll(fileOf(`{${one("[0, 4]")}, ${one("[4, 8]")}}`, 8))).rejects.toBeInstanceOf(FormatError);
    await expect(readAll(fileOf(`{${one("[0, 4]")}, ${one("[0, 4]")}}`, 4))).resolves.toMatchObject({
      tensors: { a: { data: Float32Array.of(0) } },
    });
  });

  it("may hold integers beside floats, which are not read as floats", async () => {
    const path = join(folder, `${files++}.safetensors`);
    writeFileSync(path, fileOf(entry({ dtype: "I32" }), 8));
    const file = await SafetensorsFile.open(path);
    await expect(file.readFloats("a")).rejects.toThrow(/tensor "a" is of type I32/);
    await expect(file.readFloats("b")).rejects.toThrow(/holds no tensor "b"; it holds a\./);
    await file.close();
  });

  it.each([
    ["F8_E8M0", 3],
    ["F4", 4],
    ["F6_E2M3", 6],
    ["C64", 8],
    ["A_TYPE_TO_COME", 5],
  ])("may hold a tensor of type %s that nobody asks for", async (dtype, length) => {
    const header = {
      atoms: { dtype: "F32", shape: [1], data_offsets: [0, 4] },
      other: { dtype, shape: [2, 4], data_offsets: [4, 4 + length] },
    };
    const path = join(folder, `${dtype}.safetensors`);
    writeFileSync(path, fileOf(JSON.stringify(header), 4 + length));
    const file = await SafetensorsFile.open(path);
    expect([...(await file.readFloats("atoms"))]).toEqual([0]);
    await expect(file.readFloats("other")).rejects.toThrow(`tensor "other" is of type ${dtype}`);
    await file.close();
  });

  it("of F64, F16 and BF16 is read as float32", async () => {
    const header = {
      wide: { dtype: "F64", shape: [1], data_offsets: [0, 8] },
      half: { dtype: "F16", shape: [2], data_offsets: [8, 12] },
      brain: { dtype: "BF16", shape: [1], data_offsets: [12, 14] },
    };
    const data = Buffer.alloc(14);
    data.writeDoubleLE(0.1);
    data.writeUInt16LE(0x3c00, 8);
    data.writeUInt16LE(0xc000, 10);
    data.writeUInt16LE(0x4049, 12);
    const { tensors } = await readAll(fileOf(JSON.stringify(header), data));
    expect(tensors).toEqual({
      wide: { shape: [1], data: Float32Array.of(0.1) },
      half: { shape: [2], data: Float32Array.of(1, -2) },
      brain: { shape: [1], data: Float32Array.of(3.140625) },
    });
  });
});
