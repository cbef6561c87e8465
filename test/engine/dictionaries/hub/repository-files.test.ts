import { describe, expect, it } from "vitest";
import { filesOfFile, filesOfFolder } from "../../../../src/engine/dictionaries/hub/repository-files.ts";

describe("filesOfFolder", () => {
  it.each([
    [["cfg.json", "sae_weights.safetensors", "sparsity.safetensors"], ["cfg.json", "sae_weights.safetensors"], [], ""],
    [["cfg.json", "sae.safetensors"], ["cfg.json", "sae.safetensors"], [], ""],
    [["config.json", "ae.pt", "eval_results.json"], ["config.json", "ae.pt"], [], ""],
    [["params.safetensors", "config.json"], ["params.safetensors"], ["config.json"], ""],
    [["params.npz"], ["params.npz"], [], ""],
    [
      ["params_layer_1.safetensors", "params_layer_0.safetensors", "config.json", "x.txt"],
      ["params_layer_0.safetensors", "params_layer_1.safetensors"],
      ["config.json"],
      "",
    ],
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
    [
      "W_enc_3.safetensors",
      ["W_enc_3.safetensors", "W_dec_3.safetensors", "W_dec_4.safetensors"],
      ["W_enc_3.safetensors", "W_dec_3.safetensors"],
      [],
      "W_enc_3.safetensors",
    ],
    ["a/params.npz", ["params.npz"], ["a/params.npz"], [], "a"],
  ])("%s beside %j", (path, siblings, required, optional, open) => {
    expect(filesOfFile(path, siblings)).toEqual({ required, optional, open });
  });
});
