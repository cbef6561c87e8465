/** Whole crosscoders and cross-layer transcoders: what is read of a set of layers, and what is refused by name. */
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ImportFlags } from "../../../../src/engine/dictionaries/importing/import-flags.ts";
import { understand } from "../../../../src/engine/dictionaries/importing/understand.ts";
import { writeDictionary } from "../../../../src/engine/dictionaries/importing/write-dictionary.ts";
import { ImportFolders, type Shapes, tensorsOf } from "../../../support/import-folder.ts";
import { FIXTURES } from "../../../support/one-pass-fixture.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const folders = new ImportFolders();
const layered = join(FIXTURES, "layered");
const D = 4;
const M = 6;

/** Files of circuit-tracer's set with so many layers. */
function circuitTracer(layers: number, change: (layer: number) => Shapes = () => ({})): Record<string, Uint8Array> {
  const files: Record<string, Uint8Array> = {};
  for (let l = 0; l < layers; l++) {
    const encoder = { [`W_enc_${l}`]: [M, D], [`b_enc_${l}`]: [M], [`b_dec_${l}`]: [D], ...change(l) };
    files[`W_enc_${l}.safetensors`] = tensorsOf(encoder);
    files[`W_dec_${l}.safetensors`] = tensorsOf({ [`W_dec_${l}`]: [M, layers - l, D] });
  }
  return files;
}

const PARAMS = { w_enc: [D, M], b_enc: [M], threshold: [M], w_dec: [M, 1, D], b_dec: [D] };
const CROSSCODER = {
  "encoder.weight": [2, D, M],
  "encoder.bias": [M],
  "decoder.weight": [2, M, D],
  "decoder.bias": [2, D],
};

/** A copy of clt-training's fixture with another setting in the first layer's cfg.json. */
function cltTraining(setting: object, fixture = "clt-training-topk"): string {
  const folder = folders.of({});
  cpSync(join(layered, fixture), folder, { recursive: true });
  const path = join(folder, "layers.0.mlp", "cfg.json");
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...setting }));
  return folder;
}

const crosscoder = (shapes: Shapes): string => folders.of({ "ae.safetensors": tensorsOf(shapes), "config.json": "{}" });

const REFUSED: readonly (readonly [string, () => string, ImportFlags, RegExp])[] = [
  [
    "files that may be either, without a role",
    () => folders.of({ "params_layer_0.safetensors": tensorsOf(PARAMS) }),
    {},
    /--role crosscoder .*\n.*--role cross_layer_transcoder.*\n.*--layer <n>/,
  ],
  [
    "a whole set as a transcoder",
    () => folders.of(circuitTracer(2)),
    { role: "transcoder" },
    /--role transcoder: a whole set.*--layer <n>/,
  ],
  [
    "a role that the files contradict",
    () => folders.of(circuitTracer(2)),
    { role: "crosscoder" },
    /--role crosscoder: the files of circuit-tracer say cross_layer_transcoder/,
  ],
  [
    "thresholds in some layers only",
    () => folders.of(circuitTracer(2, (l) => (l === 1 ? { threshold_1: [M] } : {}))),
    {},
    /Layer 1 has the activation .*jumprelu.*layer 0 .*relu/,
  ],
  [
    "a layer that writes beyond the set",
    () => {
      const { "W_enc_2.safetensors": _, "W_dec_2.safetensors": __, ...files } = circuitTracer(3);
      return folders.of(files);
    },
    {},
    /Layer 0 writes to the layers 0 to 2; the folder holds 2 layers/,
  ],
  [
    "a crosscoder as an autoencoder",
    () => crosscoder(CROSSCODER),
    { role: "autoencoder" },
    /is a crosscoder; leave it out/,
  ],
  [
    "an encoder of fewer layers",
    () => crosscoder({ ...CROSSCODER, "decoder.weight": [3, M, D], "decoder.bias": [3, D] }),
    {},
    /encoder\.weight reads 2 layers and decoder\.weight writes 3/,
  ],
  [
    "a threshold of each layer",
    () => crosscoder({ ...CROSSCODER, threshold: [2] }),
    {},
    /threshold is of each layer \(DECOUPLED\)/,
  ],
  ["a joint top k over layers", () => cltTraining({ coalesce_topk: "concat" }), {}, /coalesce_topk "concat" selects/],
  [
    "a decoder of other layers' latents",
    () => cltTraining({ secondary_target_tied: true }),
    {},
    /secondary_target_tied/,
  ],
  ["layers of different k", () => cltTraining({ k: 3 }), {}, /Layer 1 has the activation .*"k":4.*layer 0 .*"k":3/],
  [
    "a missing layer of clt-training",
    () => {
      const folder = cltTraining({});
      rmSync(join(folder, "layers.2.mlp"), { recursive: true });
      return folder;
    },
    {},
    /Layer 0 writes to the layers 0 to 2; the folder holds 2 layers/,
  ],
  [
    "a layer's folder without its weights",
    () => {
      const folder = cltTraining({});
      rmSync(join(folder, "layers.1.mlp", "sae.safetensors"));
      return folder;
    },
    {},
    /layers\.1\.mlp holds cfg\.json but no sae\.safetensors: put the weights of this layer there/,
  ],
];

describe("a set of layers", () => {
  it.each(REFUSED)("is refused: %s", async (_what, path, flags, said) => {
    await expect(understand(path(), flags)).rejects.toThrow(said);
  });

  it("that does not fit the memory is refused with both numbers and the way out", async () => {
    const path = join(layered, "circuit-tracer-clt-relu");
    await expect(understand(path, {}, 1 << 20)).resolves.toBeDefined();
    await expect(understand(path, {}, 100)).rejects.toThrow(
      "All 3 layers take 1 MiB of memory as float32; PURSUIT_MEMORY_LIMIT allows 1 MiB. Import one layer as a transcoder: --layer <n>.",
    );
  });

  it.each(["circuit-tracer-clt-threshold", "gemma-scope-2/clt/width_262k_l0_medium_affine", "clt-training-topk-skip"])(
    "%s is the sum of its layers",
    async (fixture) => {
      const path = join(layered, fixture);
      const { weights: whole } = await understand(path, {});
      const { d, layers = 0, blocks = [] } = whole;
      const width = d / layers;
      const center = new Float32Array(d);
      for (const [layer, { from, to, writes }] of blocks.entries()) {
        const { weights } = await understand(path, { layer });
        expect(weights.tensors!["encoder_weight"]).toEqual(
          whole.tensors!["encoder_weight"]!.subarray(from * width, to * width),
        );
        const at = writes[0]! * width;
        for (let c = 0; c < weights.d; c++) center[at + c]! += weights.center![c]!;
        for (let j = from; j < to; j++) {
          const own = weights.atoms.subarray((j - from) * weights.d, (j - from + 1) * weights.d);
          expect(whole.atoms.subarray(j * d + at, j * d + at + weights.d)).toEqual(own);
        }
      }
      expect(whole.center).toEqual(center);
    },
  );

  it("keeps 16 bits on disk, and no zeros for layers that a block does not write to", async () => {
    const understood = await understand(join(layered, "circuit-tracer-clt-bfloat16"), {});
    const { folder, loaded } = await writeDictionary(understood, {
      modelsDir: temporaryFolder(),
      id: "clt",
      force: false,
    });
    expect(loaded.weights).toEqual(understood.weights);
    const bytes = readFileSync(join(folder, "weights.safetensors"));
    const head = JSON.parse(bytes.toString("utf8", 8, 8 + Number(bytes.readBigUInt64LE())));
    const shapes = [0, 1, 2].map((i) => [head[`atoms.${i}`].dtype, head[`atoms.${i}`].shape]);
    expect(shapes).toEqual([3, 2, 1].map((written) => ["BF16", [12, written, 8]]));
  });
});
