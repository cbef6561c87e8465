/** Bare atoms beside other tensors. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { understand } from "../../../../src/engine/dictionaries/importing/understand.ts";
import { ImportFolders } from "../../../support/import-folder.ts";
import { npyBytes } from "../../../support/npy-bytes.ts";

const folders = new ImportFolders();
const FLAGS = {
  from: "atoms",
  score: "relu",
  reselect: "add",
  normalize: "identity",
  maxAtoms: 3,
  residualThreshold: 0,
  inputNorm: "none",
} as const;

/** Atoms [2, 4] of F32, and one more tensor. */
function atomsBeside(other: { dtype: string; shape: readonly number[] }, length: number): string {
  const header = {
    atoms: { dtype: "F32", shape: [2, 4], data_offsets: [0, 32] },
    other: { ...other, data_offsets: [32, 32 + length] },
  };
  const text = Buffer.from(JSON.stringify(header));
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(text.length));
  const path = join(folders.of({}), "w.safetensors");
  writeFileSync(path, Buffer.concat([head, text, Buffer.alloc(32 + length, 1)]));
  return path;
}

describe("bare atoms", () => {
  it.each([
    ["F8_E8M0", [3], 3],
    ["F4", [2, 4], 4],
    ["C64", [1], 8],
    ["I64", [2, 4], 64],
  ])("are read beside a tensor of type %s, which is named as not read", async (dtype, shape, length) => {
    const { weights, notes } = await understand(atomsBeside({ dtype, shape }, length), FLAGS);
    expect(weights).toMatchObject({ d: 4, m: 2, center: null });
    expect(notes).toEqual([`Not read: other [${shape.join(", ")}] ${dtype}.`]);
  });

  it("beside another matrix of floats are refused, each tensor by name", async () => {
    const path = atomsBeside({ dtype: "F32", shape: [2, 4] }, 32);
    await expect(understand(path, FLAGS)).rejects.toThrow(
      /must hold one matrix of floats.*atoms \[2, 4\] F32, other \[2, 4\] F32\. Save the atoms alone/,
    );
  });

  it("of a type that is not read are refused with what to do", async () => {
    const path = join(folders.of({}), "bf16.npy");
    writeFileSync(path, npyBytes([2, 1], [1, 1], { dtype: "<V2" }));
    await expect(understand(path, FLAGS)).rejects.toThrow(/<V2.*likely bfloat16.*astype\(numpy\.float32\)/);
  });

  it("have no centre by themselves where several tensors could be it", async () => {
    const path = folders.weights({ atoms: [6, 4], a: [4], b: [4] });
    await expect(understand(path, FLAGS)).rejects.toThrow(/--center or --no-center/);
    await expect(understand(path, { ...FLAGS, center: true })).rejects.toThrow(/holds a and b of shape \[4\]/);
    const { notes } = await understand(path, { ...FLAGS, center: false });
    expect(notes).toEqual(["Not read: a [4] F32, b [4] F32."]);
  });
});
