/** Published one-pass layouts: files that contradict each other, lack something or hold more are refused by name. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ImportFlags } from "../../../../src/engine/dictionaries/importing/import-flags.ts";
import { understand } from "../../../../src/engine/dictionaries/importing/understand.ts";
import { ImportFolders, type Shapes, tensorsOf } from "../../../support/import-folder.ts";

const folders = new ImportFolders();
type Refusal = readonly [what: string, path: () => string, flags: ImportFlags, said: RegExp];

const LINEAR: Shapes = { "encoder.weight": [6, 4], "encoder.bias": [6], "decoder.weight": [4, 6] };
const dictionaryLearning = (trainer: object, shapes: Shapes): string =>
  folders.of({
    "config.json": JSON.stringify({ trainer: { activation_dim: 4, dict_size: 6, ...trainer } }),
    "ae.safetensors": tensorsOf(shapes),
  });

const DICTIONARY_LEARNING: readonly Refusal[] = [
  [
    "a class that import does not read",
    () => dictionaryLearning({ dict_class: "CrossCoder" }, { ...LINEAR, bias: [4] }),
    {},
    /config\.json trainer: dict_class is "CrossCoder"; import reads AutoEncoder, /,
  ],
  [
    "no class and no widths, all at once",
    () => folders.of({ "config.json": '{"trainer": {}}', "ae.safetensors": tensorsOf(LINEAR) }),
    {},
    /dict_class is missing(.|\n)*activation_dim is missing(.|\n)*dict_size is missing/,
  ],
  [
    "no trainer",
    () => folders.of({ "config.json": "{}", "ae.safetensors": tensorsOf(LINEAR) }),
    {},
    /config\.json: trainer is missing/,
  ],
  ["no config", () => folders.of({ "ae.safetensors": tensorsOf(LINEAR) }), {}, /ae\.safetensors but no config\.json/],
  [
    "widths other than the weights'",
    () => dictionaryLearning({ dict_class: "AutoEncoder", dict_size: 7 }, { ...LINEAR, bias: [4] }),
    {},
    /ae\.safetensors.*encoder\.weight is \[6, 4\]; it should be \[7, 4\]/,
  ],
  [
    "the weights of another class",
    () => dictionaryLearning({ dict_class: "AutoEncoder" }, { ...LINEAR, "decoder.bias": [4] }),
    {},
    /holds no tensor bias \[4\]/,
  ],
  [
    "a tensor that the class does not save",
    () => dictionaryLearning({ dict_class: "AutoEncoder" }, { ...LINEAR, bias: [4], r_mag: [6] }),
    {},
    /holds r_mag, which dictionary_learning's AutoEncoder does not save/,
  ],
  [
    "a threshold of each atom where the class has one for all",
    () => dictionaryLearning({ dict_class: "BatchTopKSAE", k: 2 }, { ...LINEAR, b_dec: [4], threshold: [6] }),
    {},
    /threshold is \[6\]; it should be \[\]/,
  ],
  [
    "topk without a k",
    () => dictionaryLearning({ dict_class: "AutoEncoderTopK" }, { ...LINEAR, b_dec: [4] }),
    {},
    /hold no k\. Add trainer\.k/,
  ],
  [
    "a flag of a pursuit",
    () => dictionaryLearning({ dict_class: "AutoEncoder" }, { ...LINEAR, bias: [4] }),
    { maxAtoms: 3 },
    /--max-atoms: a dictionary of dictionary_learning has an encoder of its own/,
  ],
  [
    "a role that the layout lacks",
    () => dictionaryLearning({ dict_class: "AutoEncoder" }, { ...LINEAR, bias: [4] }),
    { role: "transcoder" },
    /--role transcoder: dictionary_learning saves autoencoders/,
  ],
];

describe("dictionary_learning refuses", () => {
  it.each(DICTIONARY_LEARNING)("%s", async (_what, path, flags, said) => {
    await expect(understand(path(), flags)).rejects.toThrow(said);
  });
});

describe("dictionary_learning", () => {
  const topkFixture = new URL("../../../fixtures/one-pass/dictionary-learning-topk/", import.meta.url).pathname;

  it("takes a k that config and weights agree on, and refuses two", async () => {
    const taken = await understand(topkFixture, {});
    expect(taken.weights.settings).toMatchObject({ k: 5, subtractCenter: true });
    expect(taken.defaultBudget).toEqual({ maxAtoms: 5 });
    expect(taken.provenance).toMatchObject({ class: "AutoEncoderTopK", hook_name: "resid_post_layer_3" });
    const config = readFileSync(join(topkFixture, "config.json"), "utf8");
    const other = folders.of({
      "ae.pt": readFileSync(join(topkFixture, "ae.pt")),
      "config.json": config.replace('"k": 5', '"k": 6'),
    });
    await expect(understand(other, {})).rejects.toThrow(/ae\.pt: k is 5, but trainer\.k in config\.json is 6/);
  });

  it("says which norms are served, and when a threshold was never set", async () => {
    const plain = await understand(dictionaryLearning({ dict_class: "AutoEncoder" }, { ...LINEAR, bias: [4] }), {});
    expect(plain.notes.join()).toMatch(/stored norms.*from_pretrained rescales/);
    const never = new URL("../../../fixtures/one-pass/dictionary-learning-batch-topk-never-set/", import.meta.url);
    const { weights, notes } = await understand(never.pathname, {});
    expect(weights.kind).toBe("relu");
    expect(notes.join()).toMatch(/threshold is -1: training never set it/);
  });
});

const fixture = (path: string): string => new URL(`../../../fixtures/one-pass/${path}`, import.meta.url).pathname;
const QWEN = fixture("qwen-scope/layer3.sae.pt");

const circuitTracer = (shapes: Shapes, yaml?: string): string =>
  join(
    folders.of({
      "layer_3.safetensors": tensorsOf({ W_enc: [6, 4], W_dec: [6, 3], b_enc: [6], b_dec: [3], ...shapes }),
      ...(yaml !== undefined && { "config.yaml": yaml }),
    }),
    "layer_3.safetensors",
  );

const OPENMOSS = { ...LINEAR, "decoder.bias": [4] };
const HYPERPARAMETERS = {
  d_model: 4,
  d_sae: 6,
  act_fn: "jumprelu",
  jump_relu_threshold: 0.1,
  dataset_average_activation_norm: { in: 2, out: 4 },
  hook_point_in: "a",
  hook_point_out: "a",
};
const llamaScope = (settings: object, shapes: Shapes = OPENMOSS): string =>
  folders.of({
    "hyperparams.json": JSON.stringify({ ...HYPERPARAMETERS, ...settings }),
    "checkpoints/final.safetensors": tensorsOf(shapes),
  });
const r1 = (settings: object, shapes: Shapes): string =>
  folders.of({
    "config.json": JSON.stringify({ d_model: 4, expansion_factor: 2, act_fn: "jumprelu", ...settings }),
    "sae_weights.safetensors": tensorsOf(shapes),
  });

const PUBLISHED: readonly Refusal[] = [
  ["Qwen Scope without k", () => QWEN, {}, /Add --k <n>: the number after L0_/],
  ["Qwen Scope as a transcoder", () => QWEN, { k: 3, role: "transcoder" }, /Qwen Scope saves autoencoders/],
  [
    "a factor that Qwen Scope lacks",
    () => QWEN,
    { k: 3, normFactor: 2 },
    /--norm-factor: Qwen Scope topk does not take this flag/,
  ],
  [
    "k for a layout that knows its own",
    () => fixture("dictionary-learning-topk"),
    { k: 5 },
    /--k: dictionary_learning AutoEncoderTopK does not take this flag/,
  ],
  [
    "--no-rectify of a ReLU",
    () => fixture("goodfire/Llama-3.1-8B-Instruct-SAE-l19.pth"),
    { rectify: false },
    /--no-rectify: Goodfire relu does not take this flag/,
  ],
  [
    "circuit-tracer's decoder of another width",
    () => circuitTracer({ W_dec: [6, 5] }),
    {},
    /W_dec is \[6, 5\]; it should be \[6, 3\]/,
  ],
  [
    "another tensor in circuit-tracer's file",
    () => circuitTracer({ r_mag: [6] }),
    {},
    /r_mag, which circuit-tracer does not save/,
  ],
  ["circuit-tracer as an autoencoder", () => circuitTracer({}), { role: "autoencoder" }, /layer files are transcoders/],
  [
    "k and thresholds at once",
    () => circuitTracer({ "activation_function.threshold": [6] }),
    { k: 2 },
    /Leave one of them out/,
  ],
  ["a set of top k without k", () => circuitTracer({}, "activation: topk\n"), {}, /config\.yaml beside .*Add --k/],
  ["a k that is no integer", () => circuitTracer({ k: [1] }), {}, /k must be one integer ≥ 1; it is/],
  [
    "Llama Scope's weights of other widths",
    () => llamaScope({ d_sae: 7 }),
    {},
    /encoder\.weight is \[6, 4\]; it should be \[7, 4\]/,
  ],
  [
    "what Llama Scope's format allows and import does not run, all at once",
    () => llamaScope({ act_fn: "topk", use_glu_encoder: true, norm_activation: "token-wise" }),
    {},
    /act_fn is "topk"(.|\n)*norm_activation is "token-wise"(.|\n)*use_glu_encoder is true/,
  ],
  [
    "Llama Scope without its norm",
    () => llamaScope({ dataset_average_activation_norm: {} }),
    {},
    /in is missing; it must be a number above 0/,
  ],
  [
    "a factor that Llama Scope has itself",
    () => llamaScope({}),
    { normFactor: 2 },
    /--norm-factor: Llama Scope jumprelu does not take/,
  ],
  ["R1-Distill without its factor", () => r1({}, {}), {}, /Add --norm-factor <number>/],
  ["OpenMOSS' newer format without its type", () => r1({}, { W_E: [4, 8] }), {}, /sae_type is missing/],
  [
    "R1-Distill without thresholds",
    () => r1({}, { "encoder.weight": [8, 4], "encoder.bias": [8], "decoder.weight": [4, 8], "decoder.bias": [4] }),
    { normFactor: 1 },
    /holds no tensor log_jumprelu_threshold \[8\]/,
  ],
  [
    "Connor and Rob's weights of other widths",
    () => {
      const folder = folders.of({
        "z.pt": readFileSync(QWEN),
        "z_cfg.json": JSON.stringify({ act_size: 8, dict_size: 24, act_name: "hook_z" }),
      });
      return join(folder, "z.pt");
    },
    {},
    /W_enc is \[24, 8\]; it should be \[8, 24\]/,
  ],
];

describe("published layouts refuse", () => {
  it.each(PUBLISHED)("%s", async (_what, path, flags, said) => {
    await expect(understand(path(), flags)).rejects.toThrow(said);
  });
});

describe("a number that is not finite", () => {
  it("is refused with its file, tensor and place", async () => {
    const values = Array.from({ length: 24 }, (_, i) => (i === 9 ? Number.NaN : i / 8));
    const shapes = { W_enc: [6, 4], W_dec: [6, 4], b_enc: [6], b_dec: [4] };
    const transcoder = folders.of({ "layer_3.safetensors": tensorsOf(shapes, { W_dec: values }) });
    await expect(understand(join(transcoder, "layer_3.safetensors"), {})).rejects.toThrow(
      /layer_3\.safetensors.*W_dec\[2, 1\] is NaN; every weight must be finite\..*take another checkpoint/,
    );
    const scope = { w_enc: [4, 6], w_dec: [6, 1, 4], b_enc: [6], b_dec: [4], threshold: [6] };
    const wide = { threshold: [1, 2, 3, 4, 5, Infinity] };
    const set = folders.of({ "clt/params_layer_0.safetensors": tensorsOf(scope, wide) });
    await expect(understand(join(set, "clt"), {})).rejects.toThrow(
      /params_layer_0\.safetensors.*threshold\[5\] is Infinity/,
    );
  });
});

describe("integers of a safetensors file", () => {
  /** The same file as torch's, with k as torch stores it. */
  const withK = (k: number): Uint8Array => {
    const shapes = { ...LINEAR, b_dec: [4], threshold: [] };
    const plain = Buffer.from(tensorsOf(shapes));
    const start = 8 + Number(plain.readBigUInt64LE());
    const header = JSON.parse(plain.toString("utf8", 8, start)) as object;
    const end = plain.length - start;
    const text = Buffer.from(
      JSON.stringify({ ...header, k: { dtype: "I64", shape: [], data_offsets: [end, end + 8] } }),
    );
    const [length, stored] = [Buffer.alloc(8), Buffer.alloc(8)];
    length.writeBigUInt64LE(BigInt(text.length));
    stored.writeBigInt64LE(BigInt(k));
    return Buffer.concat([length, text, plain.subarray(start), stored]);
  };
  const topk = (k: number): string =>
    folders.of({
      "config.json": JSON.stringify({
        trainer: { dict_class: "AutoEncoderTopK", activation_dim: 4, dict_size: 6, k: 5 },
      }),
      "ae.safetensors": withK(k),
    });

  it("are read as those of a checkpoint are", async () => {
    expect((await understand(topk(5), {})).weights.settings).toMatchObject({ k: 5 });
    await expect(understand(topk(6), {})).rejects.toThrow(
      /ae\.safetensors: k is 6, but trainer\.k in config\.json is 5/,
    );
  });
});

describe("Llama Scope", () => {
  it("scales a transcoder's two sides by two factors, and says that nothing proves it", async () => {
    const { weights, notes } = await understand(llamaScope({ hook_point_out: "b" }), {});
    expect(weights).toMatchObject({ role: "transcoder" });
    // √4 over 2 and over 4.
    expect(notes.join()).toMatch(/Norm factor 1 and 0\.5, .*compare codes with your own/);
    const plain = await understand(llamaScope({}), {});
    expect(weights.atoms[0]).toBeCloseTo(plain.weights.atoms[0]! * 2, 6);
  });
});
