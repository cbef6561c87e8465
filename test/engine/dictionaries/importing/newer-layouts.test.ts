/** Layouts of OpenMOSS, OpenAI, matryoshka_sae, overcomplete and cross-layer sets: what contradicts itself is refused by name. */
import { describe, expect, it } from "vitest";
import type { ImportFlags } from "../../../../src/engine/dictionaries/importing/import-flags.ts";
import { understand } from "../../../../src/engine/dictionaries/importing/understand.ts";
import { ImportFolders, type Shapes, tensorsOf } from "../../../support/import-folder.ts";

const D = 4;
const M = 6;
const folders = new ImportFolders();

const OPENMOSS: Shapes = { W_E: [D, M], b_E: [M], W_D: [M, D], b_D: [D] };
const NORM = "dataset_average_activation_norm.hook";
const openmoss = (config: object, shapes: Shapes = { ...OPENMOSS, [NORM]: [] }, norm = [2]): string =>
  folders.of({
    "config.json": JSON.stringify({
      sae_type: "sae",
      d_model: D,
      expansion_factor: M / D,
      hook_point_in: "hook",
      hook_point_out: "hook",
      ...config,
    }),
    "sae_weights.safetensors": tensorsOf(shapes, { [NORM]: norm }),
  });

const MATRYOSHKA: Shapes = { W_enc: [D, M], W_dec: [M, D], b_enc: [M], b_dec: [D] };
const matryoshka = (config: object, shapes: Shapes = MATRYOSHKA): string =>
  folders.of({
    "config.json": JSON.stringify({ sae_type: "vanilla", act_size: D, dict_size: M, ...config }),
    "sae.safetensors": tensorsOf(shapes),
  });

const OPENAI: Shapes = { "encoder.weight": [M, D], latent_bias: [M], "decoder.weight": [D, M], pre_bias: [D] };
const LINEAR: Shapes = {
  "dictionary._weights": [M, D],
  "encoder.final_block.0.weight": [M, D],
  "encoder.final_block.0.bias": [M],
};
const MIXTURE: Shapes = { "dictionary.C": [3, D], "dictionary.W": [M, 3], "dictionary.Relax": [M, D] };
const ENCODER: Shapes = { "encoder.weight": [M, D] };
const overcomplete = (shapes: Shapes, values: Readonly<Record<string, readonly number[]>> = {}): string =>
  folders.weights(shapes, values);

const LAYER: Shapes = { W_enc_1: [M, D], b_enc_1: [M], b_dec_1: [D] };
const crossLayer = (encoder: Shapes = LAYER, decoder: Shapes | null = { W_dec_1: [M, 2, D] }): string =>
  folders.of({
    "W_enc_1.safetensors": tensorsOf(encoder),
    ...(decoder && { "W_dec_1.safetensors": tensorsOf(decoder) }),
  });
const PARAMS: Shapes = { w_enc: [D, M], b_enc: [M], threshold: [M], w_dec: [M, 3, D], b_dec: [D] };
const params = (shapes: Shapes = PARAMS, name = "params_layer_1.safetensors"): string =>
  folders.of({ [name]: tensorsOf(shapes) });

const REFUSED: readonly (readonly [what: string, path: () => string, flags: ImportFlags, said: RegExp])[] = [
  ["OpenMOSS' lorsa", () => openmoss({ sae_type: "lorsa" }), {}, /sae_type lorsa is attention over a whole sequence/],
  ["OpenMOSS' molt", () => openmoss({ sae_type: "molt" }), {}, /sae_type molt is a sum of low-rank maps/],
  ["OpenMOSS' crosscoder", () => openmoss({ sae_type: "crosscoder" }), {}, /sae_type is "crosscoder"/],
  ["OpenMOSS' gate", () => openmoss({ use_glu_encoder: true }), {}, /use_glu_encoder is true.*--from atoms/],
  ["OpenMOSS' batchtopk", () => openmoss({ act_fn: "batchtopk" }), {}, /top k of a whole batch.*topk_to_jumprelu/],
  ["another activation of OpenMOSS", () => openmoss({ act_fn: "swish" }), {}, /act_fn is "swish"; import reads relu/],
  [
    "OpenMOSS' batch norm",
    () => openmoss({ norm_activation: "batch-wise" }),
    {},
    /norm_activation "batch-wise" scales/,
  ],
  [
    "a transcoder normed row by row",
    () => openmoss({ norm_activation: "token-wise", hook_point_out: "other" }),
    {},
    /norm_activation token-wise scales the output by its own norm/,
  ],
  ["OpenMOSS without its norm", () => openmoss({}, OPENMOSS), {}, /average_activation_norm\.hook is missing/],
  ["OpenMOSS of other widths", () => openmoss({ expansion_factor: 2 }), {}, /W_E is \[4, 6\]; it should be \[4, 8\]/],
  [
    "OpenMOSS' thresholds without their activation",
    () => openmoss({ act_fn: "jumprelu" }),
    {},
    /log_jumprelu_threshold/,
  ],
  [
    "a key that OpenMOSS has not",
    () => openmoss({ use_gate: 1 }),
    {},
    /use_gate \(1\): OpenMOSS' sae has no such setting/,
  ],
  ["a role that the hooks deny", () => openmoss({}), { role: "transcoder" }, /--role transcoder: the hook points say/],
  [
    "another type of matryoshka_sae",
    () => matryoshka({ sae_type: "mine" }),
    {},
    /sae_type is "mine"; import reads vanilla/,
  ],
  ["matryoshka_sae without k", () => matryoshka({ sae_type: "topk" }), {}, /top_k is missing/],
  [
    "matryoshka_sae without a threshold",
    () => matryoshka({ sae_type: "batch-topk", top_k: 2 }),
    {},
    /holds no tensor threshold \[\]/,
  ],
  [
    "groups that are none",
    () => matryoshka({ sae_type: "global-matryoshka-topk", group_sizes: "[2, x]" }),
    {},
    /group_sizes is "\[2, x\]"; it must be the list of the groups' sizes/,
  ],
  [
    "groups of other widths",
    () => matryoshka({ sae_type: "global-matryoshka-topk", group_sizes: "[2, 2]" }, { ...MATRYOSHKA, threshold: [] }),
    {},
    /W_enc is \[4, 6\]; it should be \[4, 4\]/,
  ],
  ["OpenAI's bias of another width", () => folders.weights({ ...OPENAI, pre_bias: [M] }), {}, /pre_bias is \[6\]/],
  [
    "a tensor that OpenAI does not save",
    () => folders.weights({ ...OPENAI, gate: [M] }),
    {},
    /holds gate, which OpenAI/,
  ],
  [
    "overcomplete without its class",
    () => overcomplete(LINEAR),
    { normalize: "l2" },
    /--k <n> for TopKSAE.*--kind relu/s,
  ],
  ["overcomplete without its norm", () => overcomplete(LINEAR), { k: 2 }, /--normalize/],
  [
    "two classes of overcomplete",
    () => overcomplete(LINEAR),
    { normalize: "l2", k: 2, threshold: 1 },
    /each names another/,
  ],
  [
    "a class of overcomplete that its thresholds deny",
    () => overcomplete({ ...LINEAR, thresholds: [M] }),
    { normalize: "l2", k: 2 },
    /holds thresholds, so it is JumpSAE/,
  ],
  ["QSAE", () => overcomplete({ ...LINEAR, Q: [4] }), { k: 2, normalize: "l2" }, /QSAE, whose codes are levels of Q/],
  [
    "an MLP encoder",
    () => overcomplete({ ...LINEAR, "encoder.mlp_blocks.0.0.weight": [D, D] }),
    { k: 2, normalize: "l2" },
    /an MLP encoder of several layers.*--from atoms/,
  ],
  [
    "a layer norm over scores",
    () => overcomplete({ ...LINEAR, "encoder.final_block.1.weight": [M] }),
    { k: 2, normalize: "l2" },
    /a LayerNorm over its scores/,
  ],
  [
    "a convolutional encoder",
    () => overcomplete({ ...LINEAR, "encoder.resnet.conv1.weight": [M, D] }),
    { k: 2, normalize: "l2" },
    /a convolutional encoder, which needs whole images/,
  ],
  [
    "an attention encoder",
    () => overcomplete({ ...LINEAR, "encoder.attention_blocks.0.attn.in_proj_weight": [3, D] }),
    { k: 2, normalize: "l2" },
    /an attention encoder, which needs whole sequences/,
  ],
  [
    "archetypes that are not projected",
    () => overcomplete({ ...MIXTURE, ...ENCODER }, { "dictionary.W": Array.from({ length: 18 }, (_, i) => i - 2) }),
    { k: 2 },
    /row 0 of dictionary\.W is not projected.*model\.eval\(\)/,
  ],
  ["a norm of archetypes", () => overcomplete({ ...MIXTURE, ...ENCODER }), { k: 2, normalize: "l2" }, /not normalised/],
  ["a set of layers that lacks one", () => crossLayer(), {}, /holds the layers 1; layer 0 is missing.*--layer <n>/],
  ["a layer that is not there", () => crossLayer(), { layer: 0 }, /--layer 0: .* holds the layers 1/],
  ["a layer without its decoder", () => crossLayer(LAYER, null), { layer: 1 }, /put W_dec_1\.safetensors there/],
  ["a decoder of another shape", () => crossLayer(LAYER, { W_dec_1: [M, D] }), { layer: 1 }, /W_dec_1 is \[6, 4\]/],
  ["a layer without its bias", () => crossLayer({ W_enc_1: [M, D] }), { layer: 1 }, /holds no tensor b_enc_1 \[6\]/],
  ["another layer's tensors", () => crossLayer({ W_enc_2: [M, D] }), { layer: 1 }, /holds no tensor W_enc_1/],
  ["a layer as an autoencoder", () => params(), { layer: 1, role: "autoencoder" }, /--role autoencoder/],
  [
    "a layer beyond those written",
    () => params(PARAMS, "params_layer_3.safetensors"),
    { layer: 3 },
    /writes to 3 layers/,
  ],
  ["a layer of no set", () => folders.weights(OPENAI), { layer: 1 }, /--layer: OpenAI relu does not take this flag/],
];

describe("newer layouts refuse", () => {
  it.each(REFUSED)("%s", async (_what, path, flags, said) => {
    await expect(understand(path(), flags)).rejects.toThrow(said);
  });
});

describe("newer layouts", () => {
  it("say what was folded, and where each setting comes from", async () => {
    const { weights, notes, origins } = await understand(openmoss({ act_fn: "topk", top_k: 2 }), {});
    expect(weights).toMatchObject({ kind: "topk", settings: { k: 2, scaleByDecoderNorm: "select" } });
    expect(notes.join("\n")).toMatch(/Norm factors 1 and 1 .*are folded/);
    expect(origins).toMatchObject({
      k: "config.json: top_k",
      scaleByDecoderNorm: "config.json: sparsity_include_decoder_norm",
    });
  });

  it("keep nested widths", async () => {
    const config = { sae_type: "global-matryoshka-topk", group_sizes: "[1, 2, 3]" };
    const { groups, notes } = await understand(matryoshka(config, { ...MATRYOSHKA, threshold: [] }), {});
    expect(groups).toEqual([1, 3, 6]);
    expect(notes.join("\n")).toMatch(/Nested widths 1, 3, 6/);
  });
});

it("refuses a mean norm that is a list", async () => {
  await expect(understand(openmoss({}, { ...OPENMOSS, [NORM]: [1] }), {})).resolves.toBeDefined();
  const folder = openmoss({}, { ...OPENMOSS, [NORM]: [2] }, [2, 3]);
  await expect(understand(folder, {})).rejects.toThrow(`${NORM} is a list of 2; norm_activation dataset-wise needs`);
});

it("takes no encoder of overcomplete for tied because its weight is missing", async () => {
  const shapes = { "dictionary._weights": [M, D], "dictionary.multiplier": [], "encoder.bias": [M] };
  await expect(understand(folders.weights(shapes), { k: 2, normalize: "l2" })).rejects.toThrow(
    /holds no tensor encoder\.weight \[6, 4\]/,
  );
});

it("names the tensor that an archetypal dictionary lacks", async () => {
  const shapes = {
    "dictionary.W": [M, 2],
    "dictionary.Relax": [M, D],
    "dictionary.multiplier": [],
    "encoder.final_block.0.weight": [M, D],
    "encoder.final_block.0.bias": [M],
  };
  await expect(understand(folders.weights(shapes), { k: 2 })).rejects.toThrow("holds no tensor dictionary.C, a matrix");
});
