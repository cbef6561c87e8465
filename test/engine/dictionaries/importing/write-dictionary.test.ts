/** What is written of weights: in the bits that the source has, where no fold has changed them. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { encodeSafetensors, SafetensorsFile } from "../../../../src/engine/dictionaries/formats/safetensors.ts";
import { understand } from "../../../../src/engine/dictionaries/importing/understand.ts";
import { writeDictionary } from "../../../../src/engine/dictionaries/importing/write-dictionary.ts";
import { ImportFolders } from "../../../support/import-folder.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const fixtures = fileURLToPath(new URL("../../../fixtures/one-pass/", import.meta.url));

/** Types of the tensors that import writes, and whether the server reads from them what import read. */
async function typesOf(path: string, id: string): Promise<Record<string, string>> {
  const understood = await understand(path, {});
  const { folder, loaded } = await writeDictionary(understood, { modelsDir: temporaryFolder(), id, force: false });
  expect(loaded.weights).toEqual(understood.weights);
  const file = await SafetensorsFile.open(join(folder, "weights.safetensors"));
  await file.close();
  return Object.fromEntries([...file.tensors].map(([name, { dtype }]) => [name, dtype]));
}

describe("writeDictionary", () => {
  it("keeps bfloat16 in 16 bits, transposed or not", async () => {
    const types = await typesOf(join(fixtures, "circuit-tracer-transcoder-relu/layer_3.safetensors"), "bf16");
    expect(types).toEqual({ atoms: "BF16", center: "BF16", encoder_weight: "BF16", encoder_bias: "BF16" });
  });

  it("writes as float32 what a fold has changed", async () => {
    const types = await typesOf(join(fixtures, "llama-scope"), "folded");
    expect(types).toMatchObject({ atoms: "F32", encoder_weight: "F32", encoder_bias: "BF16" });
  });

  it("writes float32 as float32, even where 16 bits would do", async () => {
    const types = await typesOf(join(fixtures, "circuit-tracer-transcoder-threshold/layer_3.safetensors"), "f32");
    expect(new Set(Object.values(types))).toEqual(new Set(["F32"]));
  });

  it("keeps float16 in 16 bits", async () => {
    const values = Float32Array.from({ length: 24 }, (_, i) => i / 64 - 0.1015625);
    const tensors = Object.fromEntries(
      [
        ["W_enc", [6, 4]],
        ["W_dec", [6, 4]],
        ["b_enc", [6]],
        ["b_dec", [4]],
      ].map(([name, shape]) => {
        const length = (shape as number[]).reduce((a, b) => a * b, 1);
        return [name, { shape: shape as number[], data: values.slice(0, length), stored: "F16" as const }];
      }),
    );
    const folder = new ImportFolders().of({ "layer_0.safetensors": Buffer.concat(encodeSafetensors(tensors)) });
    const types = await typesOf(join(folder, "layer_0.safetensors"), "f16");
    expect(types).toMatchObject({ atoms: "F16", encoder_weight: "F16" });
  });
});
