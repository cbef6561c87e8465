/** What `pursuit import` does not take is refused by name, all reasons at once. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, vi } from "vitest";
import { SafetensorsFile } from "../../../../src/engine/dictionaries/formats/safetensors.ts";
import type { ImportFlags } from "../../../../src/engine/dictionaries/importing/import-flags.ts";
import { understand } from "../../../../src/engine/dictionaries/importing/understand.ts";
import { ImportFolders, type Shapes, tensorsOf } from "../../../support/import-folder.ts";

const torch = fileURLToPath(new URL("../../../fixtures/torch/", import.meta.url));
const folders = new ImportFolders();
const folderOf = folders.of.bind(folders);
const weights = (shapes: Shapes): string => folders.weights(shapes);

const CONFIG = { architecture: "matching_pursuit", d_in: 4, d_sae: 6 };
const saeLens = (config: object): string =>
  folders.saeLens({ ...CONFIG, ...config }, tensorsOf({ W_dec: [6, 4], b_dec: [4] }));

const REFUSED: readonly (readonly [what: string, path: () => string, flags: ImportFlags, said: RegExp])[] = [
  [
    "sequences instead of rows",
    () => saeLens({ architecture: "temporal" }),
    {},
    /architecture "temporal" has an encoder that Pursuit does not run.*needs whole sequences/,
  ],
  [
    "an old config, which had no architecture, with an activation that no version explains",
    () => saeLens({ architecture: undefined, activation_fn: "tanh-relu" }),
    {},
    /architecture "standard"/,
  ],
  ["bfloat16 arithmetic", () => saeLens({ dtype: "torch.bfloat16" }), {}, /dtype bfloat16.*--float32/],
  [
    "a factor that may or may not be folded",
    () => saeLens({ normalize_activations: "expected_average_only_in" }),
    {},
    /fold_activation_norm_scaling_factor.*--input-norm none/,
  ],
  [
    "an input norm of later versions",
    () => saeLens({ normalize_activations: "covariance_whitening" }),
    {},
    /covariance_whitening is a map that SAELens folds/,
  ],
  ["a value that SAELens does not take", () => saeLens({ max_iterations: "many" }), {}, /max_iterations is "many"/],
  [
    "several faults, all at once",
    () => saeLens({ stop_on_duplicate_support: "yes", dtype: "float16" }),
    {},
    /dtype float16(.|\n)*stop_on_duplicate_support is "yes"/,
  ],
  [
    "weights that the config does not describe",
    () => saeLens({ d_in: 5 }),
    {},
    /W_dec is \[6, 4\]; it should be \[6, 5\]/,
  ],
  ["a config that is no JSON", () => folderOf({ "cfg.json": "{" }), {}, /cfg\.json: is cut off/],
  [
    "what sparsify can do and Pursuit cannot, all at once",
    () =>
      folderOf({
        "cfg.json": JSON.stringify({ activation: "batchtopk", signed: true, d_in: 4 }),
        "sae.safetensors": "",
      }),
    {},
    /activation batchtopk keeps the top k of a whole batch(.|\n)*signed is true/,
  ],
  [
    "a pursuit's flags for a TopK encoder",
    () => saeLens({ architecture: "topk", k: 3 }),
    { score: "relu" },
    /--score: a TopK encoder has no such setting/,
  ],
  ["a folder of Gemma Scope", () => folderOf({ "params.npz": "" }), {}, /params\.npz/],
  ["training settings alone", () => folderOf({ "runner_cfg.json": "{}" }), {}, /runner_cfg\.json/],
  [
    "an empty folder",
    () => folderOf({}),
    {},
    /holds nothing that import reads: .* Name the folder or file that holds the dictionary/,
  ],
  ["a folder as a weights file's layout", () => saeLens({}), { from: "mp-sae" }, /--from mp-sae takes a weights file/],
  ["a checkpoint that holds none", () => join(folderOf({ "w.pt": "x" }), "w.pt"), {}, /is not a file of torch\.save/],
  ["a whole pickled module", () => join(torch, "refused/module.pt"), {}, /names torch\.nn\.modules\.linear\.Linear/],
  [
    "a checkpoint of several state dicts",
    () => join(torch, "checkpoint.pt"),
    { from: "atoms" },
    /holds 5 state dicts\. Name the one to import: --key model_state_dict \| optimizer_state_dict\.state\.0/,
  ],
  [
    "a state dict that is not there",
    () => join(torch, "checkpoint.pt"),
    { from: "atoms", key: "model" },
    /--key model: .*holds no such state dict; its state dicts are model_state_dict, /,
  ],
  ["a key where nothing is nested", () => weights({ W: [6, 4] }), { key: "model" }, /it holds no nested state dict/],
  ["an unknown ending", () => join(folderOf({ "w.gguf": "x" }), "w.gguf"), {}, /ends in none of \.safetensors/],
  ...["", "toString"].map((name): (typeof REFUSED)[number] => [
    `a dict_class ${JSON.stringify(name)}`,
    () =>
      folderOf({
        "config.json": JSON.stringify({ trainer: { dict_class: name, activation_dim: 4, dict_size: 6 } }),
        "ae.safetensors": tensorsOf({ b_dec: [4] }),
      }),
    {},
    /dict_class is "(?:toString)?"; import reads AutoEncoder/,
  ]),
  ["a path that is not there", () => join(folders.root, "nowhere"), {}, /cannot be read \(ENOENT\)/],
  [
    "overcomplete's weights without their class",
    () => weights({ "dictionary._weights": [6, 4] }),
    {},
    /OMPSAE.*--kind orthogonal_matching_pursuit.*\n.*if its class is MpSAE:\n {2}--from overcomplete\n {2}--normalize .*\n {2}--max-atoms/,
  ],
  [
    "overcomplete's weights without normalisation and k",
    () => weights({ "dictionary._weights": [6, 4] }),
    { from: "overcomplete" },
    /--normalize (.|\n)*--max-atoms/,
  ],
  [
    "the official weights without a threshold",
    () => weights({ W: [6, 4] }),
    { from: "mp-sae" },
    /--residual-threshold/,
  ],
  ["SAELens' weights without their folder", () => weights({ W_dec: [6, 4], b_dec: [4] }), {}, /import the folder/],
  ["an untied encoder", () => weights({ D: [6, 4], W: [6, 4], b_pre: [4] }), {}, /MNIST notebook/],
  [
    "an encoder of its own",
    () => weights({ "encoder.weight": [6, 4], W_dec: [6, 4] }),
    {},
    /holds encoder: an encoder of its own.*by its folder, with ae\.pt and config\.json.*save_model\("folder"\)/,
  ],
  [
    "a learned encoder of overcomplete, though called MpSAE",
    () => weights({ "encoder.final_block.0.weight": [6, 4], "dictionary._weights": [6, 4] }),
    { from: "overcomplete", normalize: "l2", maxAtoms: 4 },
    /--max-atoms: overcomplete's encoder has an encoder of its own/,
  ],
  [
    "an archetypal dictionary without its encoder",
    () => weights({ "dictionary.W": [6, 9], "dictionary.C": [9, 4], "dictionary.Relax": [6, 4] }),
    {},
    /archetypal dictionary without its encoder.*--from atoms/,
  ],
  [
    "a multiplier that is no scalar",
    () => weights({ "dictionary._weights": [6, 4], "dictionary.multiplier": [0] }),
    { from: "overcomplete", normalize: "l2", maxAtoms: 4 },
    /dictionary\.multiplier must be one finite number/,
  ],
  [
    "an untied dictionary without its bias",
    () => weights({ D: [6, 4], W: [6, 4] }),
    { from: "mp-sae", residualThreshold: 0 },
    /holds D, which the official MP-SAE does not save/,
  ],
  [
    "a config without its weights",
    () => folderOf({ "cfg.json": JSON.stringify(CONFIG) }),
    {},
    /no sae_weights\.safetensors/,
  ],
  ["a normalisation that SAELens has not", () => saeLens({}), { normalize: "l2" }, /--normalize: SAELens uses W_dec/],
  [
    "a centre that is not there",
    () => weights({ W: [6, 4] }),
    { from: "mp-sae", residualThreshold: 0, center: true },
    /--center: this layout has no bias/,
  ],
  ["atoms beside other matrices", () => weights({ a: [6, 4], b: [6, 4] }), { from: "atoms" }, /must hold one matrix/],
];

describe("understand refuses", () => {
  it.each(REFUSED)("%s", async (_what, path, flags, said) => {
    await expect(understand(path(), flags)).rejects.toThrow(said);
  });
});

describe("a weights file that changes between its reading and its digest", () => {
  it.each<[string, (path: string) => void]>([
    ["by a rename over it", (path) => renameSync(weights({ atoms: [6, 4] }), path)],
    ["in place", (path) => writeFileSync(path, Uint8Array.of(...readFileSync(path).subarray(0, -1), 7))],
  ])("%s is refused", async (_how, change) => {
    const path = weights({ atoms: [6, 4] });
    const { readFloats } = Object.getOwnPropertyDescriptors(SafetensorsFile.prototype);
    const spy = vi.spyOn(SafetensorsFile.prototype, "readFloats").mockImplementation(async function (
      this: SafetensorsFile,
      ...args
    ) {
      const floats = await readFloats.value!.apply(this, args);
      change(path);
      return floats;
    });
    const flags: ImportFlags = {
      from: "atoms",
      normalize: "identity",
      score: "relu",
      reselect: "add",
      residualThreshold: 0,
      maxAtoms: 4,
      inputNorm: "none",
    };
    await expect(understand(path, flags)).rejects.toThrow(/changed while it was read\. Import it again/);
    spy.mockRestore();
    await expect(understand(path, flags)).resolves.toMatchObject({ source: expect.stringContaining("bare atoms") });
  });
});

describe("a refusal", () => {
  it("cuts what a file made up", async () => {
    const long = "x".repeat(100_000);
    for (const config of [{ architecture: long }, { max_iterations: long }, { [long]: 1 }, { dtype: long }]) {
      const fault = await understand(saeLens(config), {}).catch((error: unknown) => error as Error);
      expect((fault as Error).message.length).toBeLessThan(1000);
    }
  });
});

describe("understand takes", () => {
  it("what it read as provenance: the name, the hash, the version", async () => {
    const { provenance } = await understand(saeLens({ metadata: { model_name: "gpt2", hook_head_index: null } }), {});
    expect(provenance).toMatchObject({ model_name: "gpt2", source: expect.any(String) });
    expect(provenance["source_sha256"]).toMatch(/^[0-9a-f]{64}$/);
    expect(provenance).not.toHaveProperty("hook_head_index");
  });

  it("a folded factor and another precision when the user says so", async () => {
    const folder = saeLens({ normalize_activations: "expected_average_only_in", dtype: "bfloat16" });
    const { weights: taken, origins } = await understand(folder, { inputNorm: "none", float32: true });
    expect(taken.settings.inputNorm).toBe("none");
    expect(origins["inputNorm"]).toBe('--input-norm, instead of "expected_average_only_in" (cfg.json)');
  });

  it("a negative threshold as none, as SAELens does", async () => {
    const { weights: taken } = await understand(saeLens({ residual_threshold: -1 }), {});
    expect(taken.settings).toMatchObject({ residualThreshold: 0 });
  });
});
