/** Checkpoints that torch itself saved (tools/fixtures/make_torch.py), and hostile ones assembled by hand. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FormatError } from "../../../../src/engine/dictionaries/formats/format-error.ts";
import type { Setting, TensorFile } from "../../../../src/engine/dictionaries/formats/tensor-file.ts";
import { openTorch } from "../../../../src/engine/dictionaries/formats/torch.ts";
import { describeTorch } from "../../../../src/engine/dictionaries/formats/torch-objects.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import {
  callBytes,
  checkpointBytes,
  float32Bytes,
  legacyBytes,
  OP,
  pickleBytes,
  storageBytes,
  tensorBytes,
  Tuple,
  valueBytes,
  type View,
} from "../../../support/torch-bytes.ts";
import { zipBytes } from "../../../support/zip-bytes.ts";

interface Expected {
  readonly tensors: Readonly<Record<string, { dtype: string; shape: number[]; values: number[] }>>;
  readonly settings: Readonly<Record<string, Setting>>;
}

const fixtures = fileURLToPath(new URL("../../../fixtures/torch/", import.meta.url));
const expected = JSON.parse(readFileSync(join(fixtures, "expected.json"), "utf8")) as Readonly<
  Record<string, Expected>
>;
const folder = temporaryFolder();
let files = 0;

function written(bytes: Uint8Array): string {
  const path = join(folder, `${files++}.pt`);
  writeFileSync(path, bytes);
  return path;
}

/** Without the thread that pickles are read on elsewhere. */
const openHere = (path: string): Promise<TensorFile> => openTorch(path, describeTorch);

/** Every tensor of floating-point numbers. */
async function readAll(path: string): Promise<Record<string, Float32Array>> {
  const file = await openHere(path);
  try {
    const all: Record<string, Float32Array> = {};
    for (const [name, { dtype }] of file.tensors) {
      if (["F64", "F32", "F16", "BF16"].includes(dtype)) all[name] = await file.readFloats(name);
    }
    return all;
  } finally {
    await file.close();
  }
}

describe.each(Object.keys(expected))("%s, as torch saved it", (name) => {
  const { tensors, settings } = expected[name]!;

  it("reads as torch reads it: names, types, shapes, numbers, settings", async () => {
    const file = await openTorch(join(fixtures, name));
    await file.close();
    const heads = Object.entries(tensors).map(([tensor, { dtype, shape }]) => [tensor, { dtype, shape }]);
    expect([...file.tensors]).toEqual(heads);
    expect(Object.fromEntries(file.settings!)).toEqual(settings);
    const numbers = await readAll(join(fixtures, name));
    for (const [tensor, data] of Object.entries(numbers)) {
      expect([tensor, ...data]).toEqual([tensor, ...tensors[tensor]!.values.map(Math.fround)]);
    }
    expect(Object.keys(numbers).length).toBeGreaterThan(0);
  });
});

describe("what torch saves beside plain weights", () => {
  it.each([
    ["module.pt", /names torch\.nn\.modules\.linear\.Linear, which is not read\. .*torch\.save\(model\.state_dict\(\)/],
    ["namespace.pt", /names argparse\.Namespace, which is not read\. Save vars\(args\)/],
    ["numpy-scalar.pt", /names numpy\._core\.multiarray\.scalar, which is not read\. Save numbers as Python's own/],
    ["sparse.pt", /names torch\._utils\._rebuild_sparse_tensor, .*to_dense\(\)/],
    ["quantised.pt", /names torch\._utils\._rebuild_qtensor, .*dequantize\(\)/],
    ["float8.pt", /names torch\._utils\._rebuild_tensor_v3, .*tensor\.float\(\)/],
    ["complex.pt", /names torch\.ComplexFloatStorage, .*tensor\.float\(\)/],
    ["negative-bit.pt", /conjugate or negative bit\. Save tensor\.resolve_neg\(\)/],
    ["protocol-4.pt", /is of protocol 4; save it without pickle_protocol/],
    ["no-tensors.pt", /holds no tensors/],
    ["script.pt", /is a TorchScript program\. Save its weights/],
    ["plain.pkl", /is a plain pickle, not a file of torch\.save\. Load it with torch and save it again/],
  ])("%s is refused, with what to do", async (name, message) => {
    const error: unknown = await openTorch(join(fixtures, "refused", name)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FormatError);
    expect(String(error)).toMatch(message);
  });

  it("is all tried", () => {
    expect(readdirSync(join(fixtures, "refused"))).toHaveLength(12);
  });
});

/** A checkpoint of one tensor "w". */
const oneTensor = (view: View, data: Uint8Array = float32Bytes(1, 2, 3, 4, 5, 6)): Buffer =>
  checkpointBytes(pickleBytes(new Map([["w", tensorBytes(view)]])), { "0": data });

const SIX: View = { shape: [2, 3], strides: [3, 1] };

describe("a checkpoint assembled by hand", () => {
  it("is read with any prefix inside the zip, or none", async () => {
    for (const prefix of ["archive/", "my model/", ""]) {
      const bytes = checkpointBytes(
        pickleBytes(new Map([["w", tensorBytes(SIX)]])),
        { "0": float32Bytes(1, 2, 3, 4, 5, 6) },
        prefix,
      );
      expect(await readAll(written(bytes))).toEqual({ w: Float32Array.of(1, 2, 3, 4, 5, 6) });
    }
  });

  it("names tensors in lists and dicts by their path", async () => {
    const w = tensorBytes(SIX);
    const root = new Map<unknown, unknown>([
      ["a", [new Map([["b", w]]), new Tuple(w)]],
      [3, w],
    ]);
    const file = await openHere(written(checkpointBytes(pickleBytes(root), { "0": float32Bytes(1, 2, 3, 4, 5, 6) })));
    expect([...file.tensors.keys()]).toEqual(["a.0.b", "a.1.0", "3"]);
    expect(file.stateDicts).toEqual(["", "a.0"]);
    await file.close();
  });

  it("reads an OrderedDict of pairs, as Python 2 writes it, and ignores its attributes", async () => {
    const dict = callBytes("collections", "OrderedDict", [["w", tensorBytes(SIX)], new Tuple("k", 3)]);
    const state = new Map([["_metadata", callBytes("collections", "OrderedDict")]]);
    const root = Buffer.concat([dict, valueBytes(state), OP.build]);
    const file = await openHere(written(checkpointBytes(pickleBytes(root), { "0": float32Bytes(1, 2, 3, 4, 5, 6) })));
    expect([...file.tensors.keys()]).toEqual(["w"]);
    expect([...file.settings!]).toEqual([["k", 3]]);
    await file.close();
  });

  it.each<[string, View, RegExp]>([
    [
      "strides past the storage",
      { ...SIX, count: 6, strides: [4, 1] },
      /shape \[2, 3\] that ends at element 6 of storage 0, which has 6/,
    ],
    ["an offset past the storage", { ...SIX, count: 6, offset: 1 }, /ends at element 6 of storage 0, which has 6/],
    ["a negative stride", { ...SIX, count: 6, strides: [-3, 1] }, /offset, size or stride is not an integer ≥ 0/],
    ["a negative size", { ...SIX, count: 6, shape: [-2, 3] }, /offset, size or stride is not an integer ≥ 0/],
    ["a fractional offset", { ...SIX, count: 6, offset: 0.5 }, /offset, size or stride is not an integer ≥ 0/],
    ["fewer strides than sizes", { ...SIX, count: 6, strides: [1] }, /of 2 sizes and 1 strides/],
    ["65 sizes", { count: 6, shape: Array(65).fill(1), strides: Array(65).fill(0) }, /of 65 sizes/],
    [
      "sizes whose end is beyond any number",
      { count: 6, shape: [2 ** 53 - 1, 2 ** 53 - 1], strides: [2 ** 53 - 1, 2 ** 53 - 1] },
      /ends at element/,
    ],
    ["a count that the data does not have", { ...SIX, count: 7 }, /data\/0 is 24 bytes long; its 7 elements take 28/],
    [
      "a width that the data does not have",
      { ...SIX, type: "DoubleStorage" },
      /data\/0 is 24 bytes long; its 6 elements take 48/,
    ],
    ["a key that has no data", { ...SIX, key: "1" }, /holds no data of storage 1: data\/1 is missing/],
    [
      "a key that is a path",
      { ...SIX, key: "../../../etc/passwd" },
      /holds no data of storage \.\.\/\.\.\/\.\.\/etc\/passwd/,
    ],
    ["a key that is a number", { ...SIX, key: 0 }, /holds a reference that is not a storage/],
    ["a storage of no known type", { ...SIX, type: "QInt8Storage" }, /names torch\.QInt8Storage, which is not read/],
  ])("is refused for %s", async (_, view, message) => {
    await expect(openHere(written(oneTensor(view)))).rejects.toThrow(message);
  });

  it("is refused when an expanded tensor would take much memory, and read when it takes little", async () => {
    const one = float32Bytes(2.5);
    const small = oneTensor({ count: 1, shape: [2, 2], strides: [0, 0] }, one);
    expect(await readAll(written(small))).toEqual({ w: Float32Array.of(2.5, 2.5, 2.5, 2.5) });
    const large = oneTensor({ count: 1, shape: [2 ** 13, 2 ** 13], strides: [0, 0] }, one);
    await expect(readAll(written(large))).rejects.toThrow(
      /tensor "w" of shape \[8192, 8192\], expanded from 1 elements, is too large; the limit is 16777216/,
    );
  });

  const sharing = (a: View, b: View): Buffer =>
    pickleBytes(
      new Map([
        ["a", tensorBytes(a)],
        ["b", tensorBytes(b)],
      ]),
    );

  it("reads tensors that share a storage, and refuses a storage that is described in two ways", async () => {
    const data = { "0": float32Bytes(1, 2, 3, 4, 5, 6) };
    const views = sharing({ ...SIX, count: 6 }, { count: 6, offset: 2, shape: [2], strides: [3] });
    expect(await readAll(written(checkpointBytes(views, data)))).toEqual({
      a: Float32Array.of(1, 2, 3, 4, 5, 6),
      b: Float32Array.of(3, 6),
    });
    for (const other of [
      { ...SIX, count: 7 },
      { ...SIX, count: 6, type: "IntStorage" },
    ]) {
      const pickle = sharing({ ...SIX, count: 6 }, other);
      await expect(openHere(written(checkpointBytes(pickle, data)))).rejects.toThrow("describes storage 0 in two ways");
    }
  });

  it.each([
    ["os.system", callBytes("os", "system", "true"), /names os\.system, which is not read\. .*needs that class's code/],
    ["builtins.eval", callBytes("builtins", "eval", "1"), /names builtins\.eval/],
    [
      "a nested pickle",
      callBytes("torch.storage", "_load_from_bytes", "x"),
      /_load_from_bytes, .*plain pickle with others inside/,
    ],
    ["torch.load", callBytes("torch", "load", "x"), /names torch\.load/],
    [
      "a storage that is called",
      callBytes("torch", "FloatStorage", 3),
      /calls torch\.FloatStorage, which is not a function/,
    ],
    ["a type that is called", callBytes("torch", "Tensor", 3), /calls torch\.Tensor, which is not a function/],
    [
      "a call of a value",
      Buffer.concat([valueBytes("f"), valueBytes(new Tuple()), OP.reduce]),
      /calls something that is not a function/,
    ],
    [
      "a rebuild by a stranger",
      callBytes(
        "torch._tensor",
        "_rebuild_from_type_v2",
        OP.global("torch", "Size"),
        OP.global("torch", "Tensor"),
        new Tuple(),
        null,
      ),
      /rebuilds a tensor in an unknown way/,
    ],
    [
      "a parameter of a number",
      callBytes("torch._utils", "_rebuild_parameter", 3, true, null),
      /makes a parameter of something that is not a tensor/,
    ],
    [
      "an OrderedDict of numbers",
      callBytes("collections", "OrderedDict", [1, 2]),
      /makes an OrderedDict of something other than pairs/,
    ],
    ["a Size of text", callBytes("torch", "Size", "abc"), /makes a torch\.Size of something other than sizes/],
    ["a device of a list", callBytes("torch", "device", []), /names an invalid torch\.device/],
    [
      "attributes of a number",
      Buffer.concat([valueBytes(3), valueBytes(new Map()), OP.build]),
      /sets attributes of something that is not a dict/,
    ],
    [
      "a reference that is text",
      Buffer.concat([valueBytes("storage"), OP.persistentId]),
      /holds a reference that is not a storage/,
    ],
    ["a reference of six items", storageBytes("0", 6, "FloatStorage", null), /holds a reference that is not a storage/],
  ])("is refused for %s", (_, value, message) => {
    const root = new Map<string, unknown>([
      ["w", tensorBytes(SIX)],
      ["x", value],
    ]);
    const open = (): unknown => describeTorch({ form: "zip", file: "f.pt", bytes: pickleBytes(root) });
    expect(open).toThrow(message);
    expect(open).toThrow(FormatError);
  });

  it("refuses a memo bomb, a list in itself, and names that collide or are too long", () => {
    const w = tensorBytes(SIX);
    const open = (root: unknown) => (): unknown =>
      describeTorch({ form: "zip", file: "f.pt", bytes: pickleBytes(root) });
    // 20 lists, each holding the one before ten times.
    const bombOf = (leaf: unknown): Buffer => {
      let bomb = Buffer.concat([valueBytes([leaf]), OP.put(0)]);
      for (let level = 1; level <= 20; level++) {
        const again = Array.from({ length: 9 }, () => OP.get(level - 1));
        bomb = Buffer.concat([OP.emptyList, OP.mark, bomb, ...again, OP.appends, OP.put(level)]);
      }
      return bomb;
    };
    expect(open(bombOf(1))).toThrow("holds more than 1000000 values");
    expect(open(bombOf(w))).toThrow("holds more than 100000 tensors");
    const lists = Buffer.concat([valueBytes([[]]), OP.put(0), OP.get(0), OP.append]);
    expect(open([w, lists])).toThrow("nests dicts and lists more than 32 deep");
    const collision = new Map<string, unknown>([
      ["a.b", w],
      ["a", new Map([["b", w]])],
    ]);
    expect(open(collision)).toThrow('holds two tensors that are both called "a.b"');
    expect(open(new Map([["x".repeat(1001), w]]))).toThrow("holds a name of more than 1000 characters");
  });

  it.each([
    [
      "a pickle over the limit",
      [{ name: "a/data.pkl", bytes: deflateRawSync(Buffer.alloc(17 << 20)), method: 8, size: 17 << 20 }],
      /a\/data\.pkl is 17825792 bytes long; the limit is 16777216/,
    ],
    [
      "two pickles",
      [
        { name: "a/data.pkl", bytes: pickleBytes(1) },
        { name: "b/data.pkl", bytes: pickleBytes(1) },
      ],
      /holds 2 files data\.pkl instead of one/,
    ],
    ["no pickle", [{ name: "a/data", bytes: pickleBytes(1) }], /holds 0 files data\.pkl instead of one/],
    [
      "a path that leaves its folder",
      [{ name: "../data.pkl", bytes: pickleBytes(1) }],
      /is not a valid torch\.save file \(invalid relative path/,
    ],
    [
      "a damaged pickle",
      [{ name: "a/data.pkl", bytes: pickleBytes(1), crc: 1 }],
      /a\/data\.pkl is damaged: its CRC-32/,
    ],
    [
      "big-endian numbers",
      [
        { name: "a/data.pkl", bytes: pickleBytes(1) },
        { name: "a/byteorder", bytes: Buffer.from("big") },
      ],
      /was saved on a big-endian machine/,
    ],
  ])("is refused for %s", async (_, members, message) => {
    await expect(openHere(written(zipBytes(members)))).rejects.toThrow(message);
  });

  it("is refused for compressed or damaged data", async () => {
    const pickle = { name: "a/data.pkl", bytes: pickleBytes(new Map([["w", tensorBytes(SIX)]])) };
    const data = float32Bytes(1, 2, 3, 4, 5, 6);
    const deflated = { name: "a/data/0", bytes: deflateRawSync(data), method: 8, size: data.length };
    await expect(openHere(written(zipBytes([pickle, deflated])))).rejects.toThrow(
      "is compressed, which torch.save never does",
    );
    const damaged = { name: "a/data/0", bytes: data, crc: 0xdeadbeef };
    await expect(readAll(written(zipBytes([pickle, damaged])))).rejects.toThrow("a/data/0 is damaged: its CRC-32");
  });

  it("is refused where it is no checkpoint at all", async () => {
    await expect(openHere(written(Buffer.from("hello")))).rejects.toThrow("is not a file of torch.save");
    await expect(openHere(written(Buffer.alloc(0)))).rejects.toThrow("is not a file of torch.save");
    const tar = Buffer.alloc(512);
    tar.write("ustar", 257);
    await expect(openHere(written(tar))).rejects.toThrow("is a checkpoint of torch 0.1, which is not read");
  });
});

describe("a checkpoint in the form before the zip", () => {
  const W = tensorBytes(SIX);
  /** Its references have a sixth item. */
  const legacyTensor = (view: unknown = null): Buffer =>
    callBytes(
      "torch._utils",
      "_rebuild_tensor_v2",
      storageBytes("7", 6, "FloatStorage", view),
      0,
      new Tuple(2, 3),
      new Tuple(1, 2),
      false,
      callBytes("collections", "OrderedDict"),
    );
  const pickle = pickleBytes(new Map([["w", legacyTensor()]]));
  const data = { key: "7", count: 6, bytes: float32Bytes(1, 2, 3, 4, 5, 6) };

  it("is read", async () => {
    expect(await readAll(written(legacyBytes(pickle, [data])))).toEqual({ w: Float32Array.of(1, 3, 5, 2, 4, 6) });
  });

  it.each([
    [
      "big-endian numbers",
      () => legacyBytes(pickle, [data], { system: new Map([["little_endian", false]]) }),
      /was saved on a big-endian machine/,
    ],
    ["another protocol", () => legacyBytes(pickle, [data], { protocol: 1002 }), /is of protocol 1002; 1001 is read/],
    [
      "another count",
      () => legacyBytes(pickle, [{ ...data, count: 5 }]),
      /storage 7 has 5 elements; its tensors say 6/,
    ],
    ["data that ends early", () => legacyBytes(pickle, [data]).subarray(0, -1), /its storages end at \d+: truncated/],
    ["a storage that is not listed", () => legacyBytes(pickle, []), /holds no data of storage 7/],
    [
      "a storage that is not named",
      () => legacyBytes(pickle, [data, { ...data, key: "8" }]),
      /lists storage 8, which its pickle does not name/,
    ],
    [
      "a view of a storage",
      () => legacyBytes(pickleBytes(new Map([["w", legacyTensor(new Tuple("9", 0, 6))]])), [data]),
      /holds a view of a storage/,
    ],
    [
      "references of the newer form",
      () => legacyBytes(pickleBytes(new Map([["w", W]])), [data]),
      /holds a reference that is not a storage/,
    ],
  ])("is refused for %s", async (_, bytes, message) => {
    await expect(openHere(written(bytes()))).rejects.toThrow(message);
  });
});

describe("a damaged checkpoint", () => {
  it.each(["encoder.pt", "legacy-checkpoint.pt"])(
    "(%s) is refused, or reads to the same number of elements",
    async (name) => {
      const whole = new Uint8Array(readFileSync(join(fixtures, name)));
      await fc.assert(
        fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), fc.boolean(), async (at, byte, cut) => {
          const outcome: unknown = await readAll(written(cut ? whole.slice(0, at) : whole.with(at, byte))).catch(
            (error: unknown) => error,
          );
          if (outcome instanceof Error) expect(outcome).toBeInstanceOf(FormatError);
        }),
        { seed: 5, numRuns: 150 },
      );
    },
  );

  it("raises no other error, whatever its pickle holds", () => {
    const zipped = readTorchBytes("checkpoint.pt");
    const legacy = new Uint8Array(readFileSync(join(fixtures, "legacy-checkpoint.pt")));
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 5 }),
        (old, changes) => {
          const bytes = (old ? legacy : zipped).slice();
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
          try {
            describeTorch({ form: old ? "legacy" : "zip", file: "f.pt", bytes });
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        },
      ),
      { seed: 6, numRuns: 4000 },
    );
  });
});

/** data.pkl of a fixture in zip form: a stored zip holds it as it is, up to the next local header. */
function readTorchBytes(name: string): Uint8Array {
  const bytes = readFileSync(join(fixtures, name));
  const start = bytes.indexOf(Buffer.of(0x80, 2, 0x7d, 0x71, 0));
  return bytes.subarray(start, bytes.indexOf("PK", start));
}
