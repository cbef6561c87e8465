import { describe, expect, it } from "vitest";
import { filesOfFile, filesOfFolder } from "../../../../src/engine/dictionaries/hub/repository-files.ts";

describe("filesOfFolder", () => {
  it.each([
    [["cfg.json", "sae_weights.safetensors", "sparsity.safetensors"], ["cfg.json", "sae_weights.safetensors"], [], ""],
    [["cfg.json", "sae.safetensors"], ["cfg.json", "sae.safetensors"], [], ""],
    [["config.json", "ae.pt", "eval_results.json"], ["config.json", "ae.pt"], [], ""],
    [["params.safetensors", "config.json"], ["params.safetensors"], ["config.json"], ""],
    [["params.npz"], ["params.npz"], [], ""],
    [["weights.pt", "config.json", "README.md"], ["weights.pt"], ["config.json"], "weights.pt"],
  ])("of %j takes %j", (names, required, optional, open) => {
    expect(filesOfFolder("a/b", names)).toEqual({
      required: required.map((name) => `a/b/${name}`),
      optional: optional.map((name) => `a/b/${name}`),
      open: open === "" ? "a/b" : `a/b/${open}`,
    });
  });
});

it("of a folder without weights is refused with what it holds", () => {
  expect(() => filesOfFolder("a", ["README.md"])).toThrow("a holds no weights that import reads (.safetensors");
  expect(() => filesOfFolder("", [])).toThrow("it holds nothing");
});

describe("filesOfFile", () => {
  it.each([
    [
      "a/layer_3.safetensors",
      ["layer_3.safetensors", "layer_4.safetensors", "config.yaml"],
      ["a/layer_3.safetensors"],
      ["a/config.yaml"],
      "a/layer_3.safetensors",
    ],
    ["x.pt", ["x.pt", "x_cfg.json", "y_cfg.json"], ["x.pt"], ["x_cfg.json"], "x.pt"],
    ["a/params.npz", ["params.npz"], ["a/params.npz"], [], "a"],
  ])("%s beside %j", (path, siblings, required, optional, open) => {
    expect(filesOfFile(path, siblings)).toEqual({ required, optional, open });
  });
});

describe("a set of layers", () => {
  const names = ["params_layer_1.safetensors", "params_layer_0.safetensors", "config.json", "README.md"];
  const one = { required: ["a/params_layer_1.safetensors"], optional: ["a/config.json"], open: "a", layer: 1 };

  it("gives the files of one layer, which a flag or the file's name names", () => {
    expect(filesOfFolder("a", names, 1)).toEqual(one);
    expect(filesOfFile("a/params_layer_1.safetensors", names)).toEqual(one);
    expect(
      filesOfFile("W_enc_3.safetensors", ["W_dec_3.safetensors", "W_enc_3.safetensors", "W_dec_4.safetensors"]),
    ).toEqual({
      required: ["W_dec_3.safetensors", "W_enc_3.safetensors"],
      optional: [],
      open: "",
      layer: 3,
    });
  });

  it("gives the files of all layers where none is named", () => {
    const required = ["a/params_layer_0.safetensors", "a/params_layer_1.safetensors"];
    expect(filesOfFolder("a", names)).toEqual({ required, optional: ["a/config.json"], open: "a", layers: 2 });
  });

  it("refuses a layer that it does not hold", () => {
    expect(() => filesOfFolder("a", names, 2)).toThrow("--layer 2: a holds the layers 0, 1.");
  });
});
