import { Fault } from "../../../src/engine/core/errors.ts";
import { createHash } from "node:crypto";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { loadWeights, type LoadedWeights, WEIGHTS_FILE } from "../../../src/engine/dictionaries/weights.ts";
import { versionDigest } from "../../../src/engine/dictionaries/version.ts";
import {
  encodeSafetensors,
  type FloatTensor,
  SafetensorsFile,
} from "../../../src/engine/dictionaries/formats/safetensors.ts";
import type { DictionaryManifest } from "../../../src/engine/core/dictionary.ts";
import { manifestOf } from "../../support/model-folder.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const D = 2;
const M = 3;
const ATOMS = [1, 0, 0, 1, 0.6, 0.8];
const root = temporaryFolder();
let folders = 0;

const tensor = (shape: readonly number[], data: readonly number[]): FloatTensor => ({
  shape,
  data: Float32Array.from(data),
});
const atomsOf = (data: readonly number[] = ATOMS): FloatTensor => tensor([data.length / D, D], data);

const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const manifest = ({ center = false, m = M }: { center?: boolean; m?: number } = {}): DictionaryManifest =>
  manifestOf("a", { atoms: new Float32Array(m * D), d: D, settings: { center } });

/** A file of `atoms` of any type. */
function fileOf(dtype: string, bytes: Uint8Array): Uint8Array {
  const header = JSON.stringify({ atoms: { dtype, shape: [M, D], data_offsets: [0, bytes.length] } });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, Buffer.from(header), bytes]);
}

function load(
  tensors: Readonly<Record<string, FloatTensor>> | Uint8Array,
  sizes: Parameters<typeof manifest>[0] = {},
): Promise<LoadedWeights> {
  const folder = join(root, String(folders++));
  mkdirSync(folder);
  writeFileSync(
    join(folder, WEIGHTS_FILE),
    tensors instanceof Uint8Array ? tensors : Buffer.concat(encodeSafetensors(tensors)),
  );
  return loadWeights(folder, manifest(sizes));
}

async function faultsOf(loading: Promise<unknown>): Promise<readonly string[]> {
  const outcome: unknown = await loading.catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(Fault);
  return (outcome as Fault).faults;
}

describe("weights of a dictionary folder", () => {
  it("are read with two digests: of the version, and of the file", async () => {
    const tensors = { atoms: atomsOf(), center: tensor([D], [5, -5]) };
    const { weights, sha256, fileSha256, warnings } = await load(tensors, { center: true });
    expect(weights).toMatchObject({ d: D, m: M, atoms: tensors.atoms.data, center: tensors.center.data });
    const stored = Object.entries(tensors).map(([name, { shape, data }]) => {
      return { name, dtype: "F32", shape, pieces: [new Uint8Array(data.buffer)] };
    });
    expect(sha256).toBe(versionDigest(manifest({ center: true }), stored));
    expect(fileSha256).toBe(sha256Of(Buffer.concat(encodeSafetensors(tensors))));
    expect(warnings).toEqual([]);
    expect((await load({ atoms: atomsOf() })).weights.center).toBeNull();
  });

  it("have one version in whatever order the file holds them, with unused tensors and metadata or not", async () => {
    const tensors = { atoms: atomsOf(), center: tensor([D], [5, -5]) };
    const { sha256 } = await load(tensors, { center: true });
    const turned = { center: tensors.center, b_enc: tensor([M], [1, 2, 3]), atoms: tensors.atoms };
    const file = Buffer.concat(encodeSafetensors(turned, { made: "elsewhere" }));
    const loaded = await load(file, { center: true });
    expect(loaded.sha256).toBe(sha256);
    expect(loaded.fileSha256).toBe(sha256Of(file));
    expect((await load({ ...tensors, center: tensor([D], [5, 5]) }, { center: true })).sha256).not.toBe(sha256);
  });

  it("of half precision have the version of their stored bytes", async () => {
    // 1, 0, 0, 1, 0.5, 0.75
    const bytes = new Uint8Array(Uint16Array.of(0x3c00, 0, 0, 0x3c00, 0x3800, 0x3a00).buffer);
    const { weights, sha256 } = await load(fileOf("F16", bytes));
    expect([...weights.atoms]).toEqual([1, 0, 0, 1, 0.5, 0.75]);
    expect(sha256).toBe(versionDigest(manifest(), [{ name: "atoms", dtype: "F16", shape: [M, D], pieces: [bytes] }]));
    expect((await load({ atoms: atomsOf([1, 0, 0, 1, 0.5, 0.75]) })).sha256).not.toBe(sha256);
  });

  it("of a file that is replaced while it is read have the digests of the bytes that were read", async () => {
    const [before, after] = [atomsOf(), atomsOf([0, 1, 1, 0, 0.8, 0.6])].map((atoms) =>
      Buffer.concat(encodeSafetensors({ atoms })),
    ) as [Buffer, Buffer];
    const whole = await load(before);
    const { readFloats } = Object.getOwnPropertyDescriptors(SafetensorsFile.prototype);
    let replaced = 0;
    vi.spyOn(SafetensorsFile.prototype, "readFloats").mockImplementation(async function (
      this: SafetensorsFile,
      ...args
    ) {
      const floats = await readFloats.value!.apply(this, args);
      writeFileSync(`${this.path}.new`, after);
      renameSync(`${this.path}.new`, this.path);
      replaced++;
      return floats;
    });
    const torn = await load(before);
    vi.restoreAllMocks();
    expect(replaced).toBe(1);
    expect(torn.weights.atoms).toEqual(whole.weights.atoms);
    expect([torn.sha256, torn.fileSha256]).toEqual([whole.sha256, whole.fileSha256]);
  });

  it("must be there, each of its tensor's shape, all faults told at once", async () => {
    expect(await faultsOf(load({ encoder: atomsOf() }, { center: true }))).toEqual([
      'weights.safetensors holds no tensor "atoms", which the manifest requires.',
      'weights.safetensors holds no tensor "center", which the manifest requires.',
    ]);
    const wrong = { atoms: tensor([D, M], ATOMS), center: tensor([1, D], [0, 0]) };
    expect(await faultsOf(load(wrong, { center: true }))).toEqual([
      'weights.safetensors: "atoms" is [2, 3]; the manifest says [3, 2].',
      'weights.safetensors: "center" is [1, 2]; the manifest says [2].',
    ]);
  });

  it("must not hold a center that the settings do not use", async () => {
    expect(await faultsOf(load({ atoms: atomsOf(), center: tensor([D], [0, 0]) }))).toEqual([
      'weights.safetensors holds a "center", but encoder.center is false: set it, or leave the tensor out.',
    ]);
  });

  it("must be finite: the atom and the column are named", async () => {
    const data = [1, 0, 0, Number.NaN, -Infinity, 1];
    expect(
      await faultsOf(load({ atoms: atomsOf(data), center: tensor([D], [0, Infinity]) }, { center: true })),
    ).toEqual([
      "weights.safetensors: atom 1, column 1 is NaN; every weight must be finite.",
      "weights.safetensors: atom 2, column 0 is -Infinity; every weight must be finite.",
      "weights.safetensors: center, column 1 is Infinity; every weight must be finite.",
    ]);
  });

  it("name five faulty atoms and count the others", async () => {
    const faults = await faultsOf(load({ atoms: atomsOf(Array<number>(14).fill(Number.NaN)) }, { m: 7 }));
    expect(faults).toHaveLength(6);
    expect(faults.at(-1)).toBe("weights.safetensors: 7 atoms hold numbers that are not finite.");
    expect(await faultsOf(load({ atoms: atomsOf(Array<number>(14).fill(0)) }, { m: 7 }))).toEqual([
      "weights.safetensors: every atom is zero; the file was written wrongly.",
    ]);
  });

  it("may be zero, which keeps its index and is told, and as small as float32 goes", async () => {
    const { weights, warnings } = await load({ atoms: atomsOf([1, 0, 0, 0, -0, 0]) });
    expect([...weights.atoms]).toEqual([1, 0, 0, 0, -0, 0]);
    expect(warnings).toEqual(["2 atoms are zero (1, 2). They are never selected."]);
    const tiny = 2 ** -149;
    expect((await load({ atoms: atomsOf([1, 0, 0, tiny, tiny, 0]) })).warnings).toEqual([]);
  });

  it("warn from a squared norm of 2 on", async () => {
    expect((await load({ atoms: atomsOf([1, 0, 0, 1, 1, 1]) })).warnings).toEqual([
      "The largest squared atom norm is 2.000; from 2 on, a step can lengthen the residual and the pursuit can diverge.",
    ]);
    expect((await load({ atoms: atomsOf([1, 0, 0, 1, 1.4, 0]) })).warnings).toEqual([]);
  });

  it("warn of tensors that the encoder does not use", async () => {
    const { warnings } = await load({ atoms: atomsOf(), threshold: tensor([M], [0, 0, 0]), W_enc: atomsOf() });
    expect(warnings).toEqual(["weights.safetensors holds tensors that this encoder does not use: threshold, W_enc."]);
  });

  it("that are no safetensors file, or none at all, are a fault of the dictionary", async () => {
    expect(await faultsOf(load(Buffer.from("PK\u0003\u0004 a zip file")))).toEqual([
      expect.stringMatching(/not safetensors/),
    ]);
    expect(await faultsOf(loadWeights(join(root, "none"), manifest()))).toEqual([
      expect.stringMatching(/^weights\.safetensors cannot be read: ENOENT/),
    ]);
  });

  it("of integers are refused by their type", async () => {
    const [fault] = await faultsOf(load(fileOf("I32", new Uint8Array(24))));
    expect(fault).toMatch(/"atoms" is of type I32; F64, F32, F16 and BF16 are read/);
  });
});
