/** SAELens folders of every version: each key that matters is read, in its old and its new place, or refused by name. */
import { describe, expect, it } from "vitest";
import { understand } from "../../../../src/engine/dictionaries/importing/understand.ts";
import { ImportFolders, type Shapes, tensorsOf } from "../../../support/import-folder.ts";

const folders = new ImportFolders();
const SIZES = { d_in: 4, d_sae: 6, dtype: "float32" };
const TOPK: Shapes = { W_enc: [4, 6], b_enc: [6], W_dec: [6, 4], b_dec: [4] };
const PURSUIT: Shapes = { W_dec: [6, 4], b_dec: [4] };
const SINCE_SIX = { metadata: { sae_lens_version: "6.54.12" } };

const topk = (config: object, shapes: Shapes = TOPK): string =>
  folders.saeLens({ ...SIZES, ...config }, tensorsOf(shapes));
const pursuit = (config: object, shapes: Shapes = PURSUIT): string =>
  folders.saeLens({ ...SIZES, architecture: "matching_pursuit", ...config }, tensorsOf(shapes));

/** What SAELens 6.54.12 itself makes of these configs (handle_config_defaulting, TopKSAEConfig). */
const KS: readonly (readonly [what: string, config: object, k: number, from: string])[] = [
  [
    "architecture topk with activation_fn_kwargs, as SAELens 4 and 5 saved it",
    { architecture: "topk", activation_fn: "topk", activation_fn_kwargs: { k: 3 } },
    3,
    "cfg.json: activation_fn_kwargs.k",
  ],
  [
    "the same without activation_fn",
    { architecture: "topk", activation_fn_kwargs: { k: 3 } },
    3,
    "cfg.json: activation_fn_kwargs.k",
  ],
  [
    "activation_fn_str and architecture standard, as SAELens 3 saved it",
    { architecture: "standard", activation_fn_str: "topk", activation_fn_kwargs: { k: 2, postact_fn: "ReLU()" } },
    2,
    "cfg.json: activation_fn_kwargs.k",
  ],
  [
    "activation_fn and no architecture",
    { activation_fn: "topk", activation_fn_kwargs: { k: 5 } },
    5,
    "cfg.json: activation_fn_kwargs.k",
  ],
  ["k, as SAELens 6 saves it", { architecture: "topk", k: 4, ...SINCE_SIX }, 4, "cfg.json: k"],
  [
    "both, where they agree",
    { architecture: "topk", k: 4, activation_fn_kwargs: { k: 4 }, activation_fn: "topk" },
    4,
    "cfg.json: k",
  ],
  ["no k from SAELens 6 on", { architecture: "topk", ...SINCE_SIX }, 100, "SAELens' default"],
];

describe("k of a SAELens folder", () => {
  it.each(KS)("is read from %s", async (_what, config, k, from) => {
    const { weights, origins } = await understand(topk(config), {});
    expect(weights).toMatchObject({ kind: "topk", settings: { k } });
    expect(origins["k"]).toBe(from);
  });

  it("is asked for where an old config does not say it, with everything else that is missing", async () => {
    const folder = topk({ architecture: "topk", dtype: "torch.bfloat16" });
    await expect(understand(folder, {})).rejects.toThrow(/Add --float32(.|\n)*has neither k nor.*Add --max-atoms <n>/);
    const { weights } = await understand(folder, { maxAtoms: 2, float32: true });
    expect(weights.settings).toMatchObject({ k: 2 });
  });

  it("is not guessed where two keys differ; a flag settles it", async () => {
    const folder = topk({ architecture: "topk", k: 4, activation_fn_kwargs: { k: 3 } });
    await expect(understand(folder, {})).rejects.toThrow(
      /k is 4, activation_fn_kwargs\.k 3\. Choose one with --max-atoms/,
    );
    const { weights } = await understand(folder, { maxAtoms: 3 });
    expect(weights.settings).toMatchObject({ k: 3 });
  });
});

const NORMS: readonly (readonly [norm: unknown, inputNorm: string])[] = [
  [null, "none"],
  [false, "none"],
  ["none", "none"],
  [undefined, "none"],
  ["layer_norm", "layer_norm"],
  ["constant_norm_rescale", "constant_norm_rescale"],
];

describe("normalize_activations of a SAELens folder", () => {
  it.each(NORMS)("%j is input norm %s", async (norm, inputNorm) => {
    const { weights } = await understand(topk({ architecture: "topk", k: 3, normalize_activations: norm }), {});
    expect(weights.settings.inputNorm).toBe(inputNorm);
  });

  it("true is expected_average_only_in, which is refused until a flag settles it", async () => {
    const folder = topk({ architecture: "topk", k: 3, normalize_activations: true });
    await expect(understand(folder, {})).rejects.toThrow(/fold_activation_norm_scaling_factor.*--input-norm none/);
    const { weights } = await understand(folder, { inputNorm: "none" });
    expect(weights.settings.inputNorm).toBe("none");
  });
});

describe("attention heads of a SAELens folder", () => {
  it.each([
    ["reshape_activations hook_z", { reshape_activations: "hook_z" }],
    ["the hook's name in metadata", { metadata: { hook_name: "blocks.3.attn.hook_z" } }],
    ["the hook's name before SAELens 3", { hook_point: "blocks.3.attn.hook_z" }],
  ])("need no flag: rows come flattened, by %s", async (_what, config) => {
    const { notes } = await understand(pursuit(config), {});
    expect(notes).toContain("Rows come flattened: n_heads · d_head = 4 numbers each (hook_z).");
  });

  it("are not folded where nothing says so", async () => {
    const { notes } = await understand(pursuit({ reshape_activations: "none", metadata: {} }), {});
    expect(notes.join()).not.toContain("flattened");
  });
});

const REFUSED: readonly (readonly [what: string, folder: () => string, said: RegExp])[] = [
  [
    "topk whose activation function is another",
    () => topk({ architecture: "topk", activation_fn: "relu", k: 3 }),
    /architecture topk and activation_fn "relu" contradict each other/,
  ],
  [
    "two names of the activation function that differ",
    () => topk({ architecture: "topk", activation_fn: "topk", activation_fn_str: "relu", k: 3 }),
    /activation_fn is "topk", activation_fn_str "relu"/,
  ],
  [
    "jumprelu with topk as its activation function",
    () => topk({ architecture: "jumprelu", activation_fn: "topk", activation_fn_kwargs: { k: 3 } }),
    /SAELens 5 and 6 read architecture "jumprelu" with activation_fn "topk" differently.*--from atoms/,
  ],
  [
    "matching pursuit with topk's arguments",
    () => pursuit({ activation_fn_kwargs: { k: 3 } }),
    /activation_fn_kwargs is \{"k":3\}, but architecture matching_pursuit/,
  ],
  [
    "another function after the selection",
    () => topk({ architecture: "topk", activation_fn_kwargs: { k: 3, postact_fn: "Identity()" } }),
    /postact_fn is "Identity\(\)"; Pursuit's topk applies ReLU/,
  ],
  [
    "arguments that topk does not take",
    () => topk({ architecture: "topk", activation_fn_kwargs: { k: 3, sparse: true } }),
    /activation_fn_kwargs holds sparse/,
  ],
  ["a k that is none", () => topk({ architecture: "topk", k: 2.5 }), /k is 2\.5; it must be an integer ≥ 1/],
  [
    "another architecture's setting",
    () => pursuit({ k: 3 }),
    /cfg\.json: k \(3\): SAELens' matching_pursuit has no such setting, and it might change the codes/,
  ],
  [
    "a pursuit's setting beside topk",
    () => topk({ architecture: "topk", k: 3, residual_threshold: 0.5 }),
    /residual_threshold \(0\.5\): SAELens' topk has no such setting/,
  ],
  ["a key of a later version", () => pursuit({ tied_to: "W_enc" }), /tied_to \("W_enc"\).*take it out of the file/],
  [
    "a normalisation of later versions",
    () => pursuit({ normalize_activations: "covariance_whitening" }),
    /fold_activation_whitening.*--input-norm none/,
  ],
  [
    "a reshape that is not known",
    () => pursuit({ reshape_activations: "hook_q" }),
    /reshape_activations is "hook_q"; Pursuit knows none and hook_z/,
  ],
  [
    "a tensor that the architecture does not use",
    () => topk({ architecture: "topk", k: 3 }, { ...TOPK, threshold: [6] }),
    /holds threshold, which SAELens' topk does not save: it may be another class/,
  ],
  [
    "an encoder beside a pursuit's decoder",
    () => pursuit({}, { ...PURSUIT, W_enc: [4, 6] }),
    /holds W_enc, which SAELens' matching_pursuit does not save/,
  ],
  [
    "factors of finetuning",
    () => topk({ architecture: "topk", k: 3, finetuning_scaling_factor: true }, { ...TOPK, scaling_factor: [6] }),
    /scaling_factor scales activations before decoding\. Fold it: W_dec \*= scaling_factor/,
  ],
  [
    "factors of finetuning that are not there",
    () => topk({ architecture: "topk", k: 3, finetuning_scaling_factor: true }),
    /finetuning_scaling_factor is true, but .* holds no scaling_factor/,
  ],
  [
    "NaN as a setting",
    () => nanConfig('"residual_threshold": NaN'),
    /residual_threshold is NaN \(line 1, column \d+\)/,
  ],
  [
    "an architecture that is not served, with the way that works",
    () => topk({ architecture: "spline" }),
    /"spline" has an encoder that Pursuit does not run; it runs matching_pursuit.*import atoms\.npy --from atoms/,
  ],
  [
    "a transcoder that would subtract its output's bias from its input",
    () => topk({ architecture: "skip_transcoder", d_out: 2 }),
    /apply_b_dec_to_input is true or missing; SAELens' transcoders need it to be false/,
  ],
];

function nanConfig(entry: string): string {
  const text = `{"architecture": "matching_pursuit", "d_in": 4, "d_sae": 6, "dtype": "float32", ${entry}}`;
  return folders.of({ "cfg.json": text, "sae_weights.safetensors": tensorsOf(PURSUIT) });
}

describe("a SAELens folder is refused for", () => {
  it.each(REFUSED)("%s", async (_what, folder, said) => {
    await expect(understand(folder(), {})).rejects.toThrow(said);
  });

  it("all of its faults at once", async () => {
    const folder = pursuit({ dtype: "float16", normalize_activations: true, max_iterations: "many", unheard_of: 1 });
    await expect(understand(folder, {})).rejects.toThrow(
      /--float32(.|\n)*--input-norm none(.|\n)*max_iterations is "many"(.|\n)*unheard_of \(1\)/,
    );
  });
});

describe("a SAELens folder is taken", () => {
  it("with factors of ones, which older versions saved whatever they had", async () => {
    const shapes = { ...TOPK, scaling_factor: [6] };
    const folder = folders.saeLens(
      { ...SIZES, architecture: "topk", k: 3 },
      tensorsOf(shapes, { scaling_factor: [1, 1, 1, 1, 1, 1] }),
    );
    const { weights } = await understand(folder, {});
    expect(weights.atoms).toHaveLength(24);
  });

  it("with the keys of a training run of SAELens 2, and says where it belongs", async () => {
    const run = { hook_point: "blocks.5.hook_resid_pre", hook_point_layer: 5, lr: 4e-4, wandb_project: "x", k: null };
    const { provenance } = await understand(pursuit({ ...run, model_name: "gpt2-small", noise_scale: 0 }), {});
    expect(provenance).toMatchObject({ model_name: "gpt2-small", hook_name: "blocks.5.hook_resid_pre", hook_layer: 5 });
  });

  it("with NaN in its metadata, which it names and leaves out", async () => {
    const folder = nanConfig('"metadata": {"model_name": "gpt2", "ce_loss": NaN}');
    const { notes, provenance } = await understand(folder, {});
    expect(notes.join()).toMatch(/cfg\.json: metadata\.ce_loss is NaN \(line 1, column \d+\)/);
    expect(provenance).toMatchObject({ model_name: "gpt2" });
    expect(provenance).not.toHaveProperty("ce_loss");
  });
});
