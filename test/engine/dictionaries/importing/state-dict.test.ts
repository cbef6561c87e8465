/** Dictionaries in torch checkpoints: which tensors are taken, and that they are the ones of other files. */
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { openTorch } from "../../../../src/engine/dictionaries/formats/torch.ts";
import type { ImportFlags } from "../../../../src/engine/dictionaries/importing/import-flags.ts";
import { stateDictOf } from "../../../../src/engine/dictionaries/importing/state-dict.ts";
import { understand } from "../../../../src/engine/dictionaries/importing/understand.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const temporary = temporaryFolder();
const fixtures = fileURLToPath(new URL("../../../fixtures/", import.meta.url));

describe("a dictionary in a torch checkpoint", () => {
  it.each<[string, string, ImportFlags]>([
    ["overcomplete-l2", "safetensors", { from: "overcomplete", normalize: "l2", maxAtoms: 5 }],
    ["mp-sae", "npz", { from: "mp-sae", residualThreshold: 0.1 }],
  ])("(%s) is the one of the .%s file", async (name, ending, flags) => {
    const path = join(fixtures, "imports", name);
    const [checkpoint, other] = await Promise.all(
      ["pt", ending].map((one) => understand(join(path, `weights.${one}`), flags)),
    );
    expect(checkpoint!.weights).toEqual(other!.weights);
    expect(checkpoint!.origins).toEqual(other!.origins);
  });

  it.each([
    ["sae-lens-topk", "sae_weights"],
    ["sparsify-topk", "sae"],
  ])("in a folder of its library (%s) is the one of the .safetensors file", async (name, stem) => {
    const original = join(fixtures, "imports", name);
    const folder = join(temporary, name);
    mkdirSync(folder);
    for (const file of ["cfg.json", `${stem}.pt`]) copyFileSync(join(original, file), join(folder, file));
    const [checkpoint, other] = await Promise.all([folder, original].map((path) => understand(path, {})));
    expect(checkpoint!.weights).toEqual(other!.weights);
    expect(checkpoint!.origins).toEqual(other!.origins);
  });

  it("names the state dict it took and what else the file holds", async () => {
    const nested = await understand(join(fixtures, "imports/mp-sae/weights.pt"), {
      from: "mp-sae",
      residualThreshold: 0.1,
    });
    expect(nested.notes).toContain("Tensors are those of model_state_dict in the file.");
    expect(nested.notes).toContain("The file also holds epoch 3; import uses none of them.");
  });
});

describe("the state dict of a checkpoint", () => {
  it("is the one that --key names, under its tensors' own names", async () => {
    const file = await openTorch(join(fixtures, "torch/checkpoint.pt"));
    try {
      const { file: model, notes } = stateDictOf(file, "model_state_dict");
      expect([...model.tensors.keys()]).toEqual(["weight", "bias"]);
      expect([...(await model.readFloats("bias"))]).toEqual([0.375, -0.625]);
      expect(notes).toEqual([
        "Tensors are those of model_state_dict in the file.",
        expect.stringMatching(/^The file also holds .*epoch 12, .* and \d+ more; import uses none of them\.$/),
      ]);
    } finally {
      await file.close();
    }
  });

  it("is the outermost dict where that holds tensors, whatever is nested in it", async () => {
    const file = await openTorch(join(fixtures, "torch/encoder.pt"));
    try {
      expect(stateDictOf(file, undefined).file.tensors).toEqual(file.tensors);
    } finally {
      await file.close();
    }
  });
});
