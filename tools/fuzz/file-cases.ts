import { crc32, deflateRawSync } from "node:zlib";
import type { ImportFlags } from "../../src/engine/dictionaries/importing/import-flags.ts";
import { npyBytes } from "../../test/support/npy-bytes.ts";
import { normals, randomAtoms } from "../../test/support/seeded.ts";
import { zipBytes } from "../../test/support/zip-bytes.ts";
import { damaged, type Draw, drawOf, type Json, oddly } from "./damage.ts";

export const D = 8;
export const M = 12;

/** A folder of files, damaged somewhere, and how it is read. */
export interface FileCase {
  /** `dictionary` is loaded as the server does; the others are imported. */
  readonly kind:
    | "dictionary"
    | "sae-lens"
    | "sparsify"
    | "gemma-scope"
    | "dictionary-learning"
    | "openmoss"
    | "matryoshka-sae"
    | "openai"
    | "overcomplete"
    | "cross-layer"
    | "atoms";
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** The same before the damage. */
  readonly sound: Readonly<Record<string, Uint8Array>>;
  /** The file that is imported by itself; absent: the folder is. */
  readonly file?: string;
  readonly flags: ImportFlags;
  readonly damagedFile: string;
}

const vector = (length: number, seed: number): number[] => [...normals(length, seed)];
const ATOMS = [...randomAtoms(M, D, 1)];
const CENTER = vector(D, 2);
const MATRIX = vector(M * D, 3);
const BIAS = vector(M, 4);
const THRESHOLD = vector(M, 5).map(Math.abs);

interface Tensor {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}
const tensor = (data: readonly number[], ...shape: number[]): Tensor => ({ shape, data });

const W_DEC = tensor(ATOMS, M, D);
const B_DEC = tensor(CENTER, D);
const W_ENC = tensor(MATRIX, D, M);
const B_ENC = tensor(BIAS, M);

/** Flags under which bare atoms need nothing more. */
const ATOM_FLAGS: ImportFlags = {
  from: "atoms",
  score: "relu",
  reselect: "stop",
  maxAtoms: 4,
  residualThreshold: 0,
  inputNorm: "none",
  normalize: "identity",
  center: false,
};

const MANIFEST = {
  format: 1,
  id: "x",
  kind: "matching_pursuit",
  d: D,
  m: M,
  encoder: {
    score: "relu",
    reselect: "stop",
    center: true,
    residual_threshold: 0,
    max_atoms: null,
    input_norm: "none",
  },
  provenance: { model: "made for the fuzzer", loss: 0.5 },
};

const LABELS = { 0: { text: "a bird", score: 0.5, rate: 0.1 }, 3: { text: "a dog" }, 11: { rate: 0.2 } };

/** Configs of SAELens: old and new places of every setting. */
const SAE_LENS_CONFIGS: readonly Readonly<Record<string, Json>>[] = [
  { architecture: "topk", k: 3, metadata: { sae_lens_version: "6.54.12" }, rescale_acts_by_decoder_norm: true },
  { architecture: "topk", activation_fn: "topk", activation_fn_kwargs: { k: 3 }, normalize_activations: null },
  { activation_fn_str: "topk", activation_fn_kwargs: { k: 2 }, normalize_activations: false, hook_point: "hook_z" },
  { architecture: "matching_pursuit", residual_threshold: 0.5, max_iterations: 5, stop_on_duplicate_support: false },
  { architecture: "matching_pursuit", normalize_activations: "layer_norm", apply_b_dec_to_input: false },
  { architecture: "jumprelu", normalize_activations: "constant_norm_rescale", metadata: { model_name: "gpt2" } },
  { architecture: "standard", dtype: "float32", reshape_activations: "none" },
];

const TOKENS = [
  'NaN -Infinity 1e999 null true \uFEFF { } [ ] " , : \u0000 PK\u0003\u0004 PK\u0001\u0002 \u0093NUMPY'.split(" "),
  ["\n", "'shape': (", "'descr': '|O'", '"data_offsets":[0,8]', '"F8_E8M0"'],
]
  .flat()
  .map((token) => Buffer.from(token, "latin1"));

const text = (value: Json): Buffer => Buffer.from(JSON.stringify(value));

/** A safetensors file; its header may be spoilt before it is written, so that its length still fits. */
function safetensors(
  tensors: Readonly<Record<string, Tensor>>,
  spoil: (header: Json) => Json = (same) => same,
): Buffer {
  let end = 0;
  const header = Object.fromEntries(
    Object.entries(tensors).map(([name, { shape, data }]) => [
      name,
      { dtype: "F32", shape, data_offsets: [end, (end += 4 * data.length)] },
    ]),
  );
  const head = text(spoil(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  const data = Float32Array.from(Object.values(tensors).flatMap((one) => one.data));
  return Buffer.concat([length, head, Buffer.from(data.buffer)]);
}

/** A .npy file whose header's words may be replaced. */
function npy(draw: Draw, { shape, data }: Tensor): Buffer {
  const bytes = Buffer.from(npyBytes(shape, data, { fortran: draw.chance(0.3), version: 1 + draw.below(3) }));
  if (draw.chance(0.9)) return bytes;
  const [from, to] = draw.pick([
    ["<f4", draw.pick(["<f2", "<f8", ">f4", "<V2", "|O8", "<i4", "<c8"])],
    ["(12, 8)", draw.pick(["(8, 12)", "(96,)  ", "(12, 9)", "(1, 96)", "(0, 12)", "(12,-8)"])],
    ["False", draw.pick(["True ", "None ", "0    "])],
  ] as const);
  return Buffer.from(bytes.toString("latin1").replace(from, to), "latin1");
}

function npz(draw: Draw, tensors: Readonly<Record<string, Tensor>>): Buffer {
  const files = Object.entries(tensors).map(([name, one]) => {
    const bytes = npy(draw, one);
    const lie = draw.chance(0.05) ? { size: draw.pick([0, 1, 2 ** 31, bytes.length - 1, bytes.length + 1]) } : {};
    if (draw.chance(0.5)) return { name: `${name}.npy`, bytes, ...lie };
    const packed = deflateRawSync(bytes);
    return { name: `${name}.npy`, bytes: packed, method: 8, size: bytes.length, crc: crc32(bytes), ...lie };
  });
  return zipBytes(draw.chance(0.1) ? [...files, ...files.slice(0, 1)] : files);
}

/** Sound files of one layout, some of their values already odd. */
function draft(draw: Draw): FileCase {
  const spoil = (value: Json): Json => (draw.chance(0.5) ? oddly(draw, value, 0.1) : value);
  const named = (files: Record<string, Uint8Array>): string => draw.pick(Object.keys(files));
  const made = (kind: FileCase["kind"], files: Record<string, Uint8Array>, more: Partial<FileCase> = {}): FileCase => ({
    kind,
    files,
    sound: files,
    flags: {},
    damagedFile: named(files),
    ...more,
  });
  switch (draw.below(12)) {
    case 0:
      return made("dictionary", {
        "dictionary.json": text(spoil(MANIFEST)),
        "weights.safetensors": safetensors({ atoms: W_DEC, center: B_DEC }, spoil),
        "labels.json": text(spoil(LABELS)),
        "examples.json": text(spoil(["one", "two"])),
        "examples.safetensors": safetensors({ rows: tensor(vector(2 * D, 6), 2, D) }, spoil),
      });
    case 1: {
      const config = { d_in: D, d_sae: M, ...draw.pick(SAE_LENS_CONFIGS) };
      const architecture = (config as { architecture?: string }).architecture ?? "topk";
      const pursuit = architecture === "matching_pursuit";
      const tensors = {
        W_dec: W_DEC,
        b_dec: B_DEC,
        ...(!pursuit && { W_enc: W_ENC, b_enc: B_ENC }),
        ...(architecture === "jumprelu" && { threshold: tensor(THRESHOLD, M) }),
        ...(draw.chance(0.1) && { scaling_factor: tensor(Array<number>(M).fill(draw.pick([1, 2])), M) }),
      };
      return made("sae-lens", {
        "cfg.json": text(spoil(config)),
        "sae_weights.safetensors": safetensors(tensors, spoil),
      });
    }
    case 2:
      return made("sparsify", {
        "cfg.json": text(spoil({ activation: "topk", d_in: D, num_latents: M, k: 3, multi_topk: false })),
        "sae.safetensors": safetensors(
          { "encoder.weight": tensor(MATRIX, M, D), "encoder.bias": B_ENC, W_dec: W_DEC, b_dec: B_DEC },
          spoil,
        ),
      });
    case 3: {
      const tensors = { W_enc: W_ENC, W_dec: W_DEC, b_enc: B_ENC, b_dec: B_DEC, threshold: tensor(THRESHOLD, M) };
      const config = { architecture: "jump_relu", affine_connection: false, model_name: "gemma", width: M };
      return draw.chance(0.5)
        ? made("gemma-scope", { "params.npz": npz(draw, tensors) })
        : made("gemma-scope", {
            "config.json": text(spoil(config)),
            "params.safetensors": safetensors(tensors, spoil),
          });
    }
    case 4:
      return made("dictionary-learning", {
        "config.json": text(
          spoil({ trainer: { dict_class: "BatchTopKSAE", activation_dim: D, dict_size: M, k: 3 }, buffer: {} }),
        ),
        "ae.safetensors": safetensors(
          {
            "encoder.weight": tensor(MATRIX, M, D),
            "encoder.bias": B_ENC,
            "decoder.weight": tensor(ATOMS, D, M),
            b_dec: B_DEC,
            threshold: tensor([0.25]),
          },
          spoil,
        ),
      });
    case 5: {
      const norm = "dataset_average_activation_norm.hook";
      const config = {
        sae_type: "sae",
        d_model: D,
        expansion_factor: M / D,
        act_fn: draw.pick(["relu", "jumprelu", "topk"]),
        top_k: 3,
        norm_activation: draw.pick(["dataset-wise", "inference", "token-wise"]),
        hook_point_in: "hook",
        hook_point_out: draw.pick(["hook", "hook", "other"]),
      };
      const tensors = {
        W_E: W_ENC,
        b_E: B_ENC,
        W_D: W_DEC,
        b_D: B_DEC,
        [norm]: tensor([3]),
        ...(config.act_fn === "jumprelu" && { "activation_function.log_jumprelu_threshold": B_ENC }),
      };
      return made("openmoss", {
        "config.json": text(spoil(config)),
        "sae_weights.safetensors": safetensors(tensors, spoil),
      });
    }
    case 6: {
      const type = draw.pick(["vanilla", "topk", "batch-topk", "jumprelu", "global-matryoshka-topk"]);
      const config = {
        sae_type: type,
        act_size: D,
        dict_size: M,
        top_k: 3,
        group_sizes: "[4, 8]",
        input_unit_norm: true,
      };
      const tensors = {
        W_enc: W_ENC,
        W_dec: W_DEC,
        b_enc: B_ENC,
        b_dec: B_DEC,
        ...(type === "jumprelu" && { "jumprelu.log_threshold": B_ENC }),
        ...(type.endsWith("-topk") && { threshold: tensor([0.25]) }),
      };
      return made("matryoshka-sae", {
        "config.json": text(spoil(config)),
        "sae.safetensors": safetensors(tensors, spoil),
      });
    }
    case 7: {
      const tensors = {
        "encoder.weight": tensor(MATRIX, M, D),
        latent_bias: B_ENC,
        "decoder.weight": tensor(ATOMS, D, M),
        pre_bias: B_DEC,
      };
      const file = "w.safetensors";
      return made("openai", { [file]: safetensors(tensors, spoil) }, { file, flags: draw.pick([{}, { k: 3 }]) });
    }
    case 8: {
      const archetypal = draw.chance(0.3);
      const mixture = Array.from({ length: M * 2 }, (_, i) => (i % 2 === 0 ? 0.25 : 0.75));
      const tensors = {
        ...(archetypal
          ? {
              "dictionary.C": tensor(vector(2 * D, 7), 2, D),
              "dictionary.W": tensor(mixture, M, 2),
              "dictionary.Relax": tensor(ATOMS, M, D),
            }
          : { "dictionary._weights": W_DEC }),
        "dictionary.multiplier": tensor([0.5]),
        "encoder.final_block.0.weight": tensor(MATRIX, M, D),
        "encoder.final_block.0.bias": B_ENC,
        ...(draw.chance(0.3) && { thresholds: B_ENC }),
      };
      const file = "w.safetensors";
      const chosen = draw.pick([{ k: 3 }, { threshold: 0.5 }, { kind: "relu" as const }, {}]);
      const flags = { ...chosen, ...(!archetypal && { normalize: "l2" as const }) };
      return made("overcomplete", { [file]: safetensors(tensors, spoil) }, { file, flags });
    }
    case 9: {
      if (draw.chance(0.5)) {
        const tensors = {
          w_enc: W_ENC,
          b_enc: B_ENC,
          threshold: tensor(THRESHOLD, M),
          w_dec: tensor([...ATOMS, ...MATRIX], M, 2, D),
          b_dec: B_DEC,
        };
        return made(
          "cross-layer",
          { "params_layer_1.safetensors": safetensors(tensors, spoil) },
          { flags: { layer: 1 } },
        );
      }
      const encoder = { W_enc_1: tensor(MATRIX, M, D), b_enc_1: B_ENC, b_dec_1: B_DEC };
      return made(
        "cross-layer",
        {
          "W_enc_1.safetensors": safetensors(encoder, spoil),
          "W_dec_1.safetensors": safetensors({ W_dec_1: tensor([...ATOMS, ...MATRIX], M, 2, D) }, spoil),
        },
        { flags: { layer: 1 } },
      );
    }
    default: {
      const tensors = { atoms: W_DEC, ...(draw.chance(0.5) && { center: B_DEC }) };
      const [file, bytes] = draw.pick([
        ["w.safetensors", (): Buffer => safetensors(tensors, spoil)],
        ["w.npy", (): Buffer => npy(draw, W_DEC)],
        ["w.npz", (): Buffer => npz(draw, tensors)],
      ] as const);
      return made("atoms", { [file]: bytes() }, { file, flags: ATOM_FLAGS });
    }
  }
}

/** Case `index` of a seed: the same whenever it is made. */
export function fileCaseOf(seed: number, index: number): FileCase {
  const draw = drawOf(seed, index);
  const made = draft(draw);
  const { files, damagedFile } = made;
  // Some stay as they are drawn: their odd values are then all that is wrong.
  if (draw.chance(0.5)) return made;
  return { ...made, files: { ...files, [damagedFile]: damaged(draw, Buffer.from(files[damagedFile]!), TOKENS) } };
}
