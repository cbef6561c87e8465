import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DictionaryFault } from "../../../src/engine/dictionaries/dictionary-fault.ts";
import { loadWeights, type LoadedWeights, WEIGHTS_FILE } from "../../../src/engine/dictionaries/weights.ts";
import { encodeSafetensors, type FloatTensor } from "../../../src/engine/dictionaries/formats/safetensors.ts";
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

function load(
  tensors: Readonly<Record<string, FloatTensor>> | Uint8Array,
  { center = false, m = M }: { center?: boolean; m?: number } = {},
): Promise<LoadedWeights> {
  const folder = join(root, String(folders++));
  mkdirSync(folder);
  writeFileSync(
    join(folder, WEIGHTS_FILE),
    tensors instanceof Uint8Array ? tensors : Buffer.concat(encodeSafetensors(tensors)),
  );
  return loadWeights(folder, manifestOf("a", { atoms: new Float32Array(m * D), d: D, settings: { center } }));
}

async function faultsOf(loading: Promise<unknown>): Promise<readonly string[]> {
  const outcome: unknown = await loading.catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(DictionaryFault);
  return (outcome as DictionaryFault).faults;
}

describe("weights of a dictionary folder", () => {
  it("are read with the file's sha256, and without a warning where nothing is odd", async () => {
    const tensors = { atoms: atomsOf(), center: tensor([D], [5, -5]) };
    const { weights, sha256, warnings } = await load(tensors, { center: true });
    expect(weights).toMatchObject({ d: D, m: M, atoms: tensors.atoms.data, center: tensors.center.data });
    expect(sha256).toBe(
      createHash("sha256")
        .update(Buffer.concat(encodeSafetensors(tensors)))
        .digest("hex"),
    );
    expect(warnings).toEqual([]);
    expect((await load({ atoms: atomsOf() })).weights.center).toBeNull();
  });

  it("must be there, each of its tensor's shape, all faults told at once", async () => {
    expect(await faultsOf(load({ encoder: atomsOf() }, { center: true }))).toEqual([
      'weights.safetensors holds no tensor "atoms", which the manifest asks for.',
      'weights.safetensors holds no tensor "center", which the manifest asks for.',
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
      "weights.safetensors: 7 atoms are zero (0, 1, 2, 3, 4, …); remove them.",
    ]);
  });

  it("must not be zero, but may be as small as float32 goes", async () => {
    expect(await faultsOf(load({ atoms: atomsOf([1, 0, 0, 0, -0, 0]) }))).toEqual([
      "weights.safetensors: 2 atoms are zero (1, 2); remove them.",
    ]);
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
    const manifest = manifestOf("a", { atoms: new Float32Array(6), d: D });
    expect(await faultsOf(loadWeights(join(root, "none"), manifest))).toEqual([
      expect.stringMatching(/^weights\.safetensors cannot be read: ENOENT/),
    ]);
  });

  it("of integers are refused by their type", async () => {
    const header = JSON.stringify({ atoms: { dtype: "I32", shape: [M, D], data_offsets: [0, 24] } });
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const [fault] = await faultsOf(load(Buffer.concat([length, Buffer.from(header), Buffer.alloc(24)])));
    expect(fault).toMatch(/"atoms" is of type I32; F64, F32, F16 and BF16 are read/);
  });
});
