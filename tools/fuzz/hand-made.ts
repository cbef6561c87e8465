import type { ImportFlags } from "../../src/engine/dictionaries/importing/import-flags.ts";
import { npyBytes } from "../../test/support/npy-bytes.ts";
import { normals, randomAtoms } from "../../test/support/seeded.ts";
import { zipBytes } from "../../test/support/zip-bytes.ts";
import { damaged, type Draw, type Json, oddly, TOKENS_OF_FILES } from "./damage.ts";
import type { FileCase } from "./file-cases.ts";
import { deflated, safetensorsBytes, type Tensor, tensor, type Tensors } from "./tensor-files.ts";

/** Dictionaries without a fixture: our own format, every place of SAELens' settings, and bare atoms in every format. */

export const D = 8;
export const M = 12;

const vector = (length: number, seed: number): number[] => [...normals(length, seed)];
const W_DEC = tensor([...randomAtoms(M, D, 1)], M, D);
const B_DEC = tensor(vector(D, 2), D);
const W_ENC = tensor(vector(M * D, 3), D, M);
const B_ENC = tensor(vector(M, 4), M);
const THRESHOLD = vector(M, 5).map(Math.abs);

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

const text = (value: Json): Buffer => Buffer.from(JSON.stringify(value));

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

function npz(draw: Draw, tensors: Tensors): Buffer {
  const files = Object.entries(tensors).map(([name, one]) => {
    const bytes = npy(draw, one);
    const lie = draw.chance(0.05) ? { size: draw.pick([0, 1, 2 ** 31, bytes.length - 1, bytes.length + 1]) } : {};
    const file = { name: `${name}.npy`, bytes };
    return { ...(draw.chance(0.5) ? file : deflated(file)), ...lie };
  });
  return zipBytes(draw.chance(0.1) ? [...files, ...files.slice(0, 1)] : files);
}

/** One of them, some of its values odd, or its bytes damaged. */
export function handMade(draw: Draw): FileCase {
  const made = draft(draw);
  // Some stay as they are drawn: their odd values are then all that is wrong.
  if (draw.chance(0.5)) return made;
  const { files, damagedFile } = made;
  const bytes = damaged(draw, Buffer.from(files[damagedFile]!), TOKENS_OF_FILES);
  return { ...made, damage: "bytes", twin: files, files: { ...files, [damagedFile]: bytes } };
}

function draft(draw: Draw): FileCase {
  const spoil = (value: Json): Json => (draw.chance(0.5) ? oddly(draw, value, 0.1) : value);
  const made = (
    kind: FileCase["kind"],
    files: Readonly<Record<string, Uint8Array>>,
    more: Partial<FileCase> = {},
  ): FileCase => ({
    kind,
    damage: "values",
    path: "",
    files,
    flags: {},
    damagedFile: draw.pick(Object.keys(files)),
    ...more,
  });
  switch (draw.below(3)) {
    case 0:
      return made("dictionary", {
        "dictionary.json": text(spoil(MANIFEST)),
        "weights.safetensors": safetensorsBytes({ atoms: W_DEC, center: B_DEC }, spoil),
        "labels.json": text(spoil(LABELS)),
        "examples.json": text(spoil(["one", "two"])),
        "examples.safetensors": safetensorsBytes({ rows: tensor(vector(2 * D, 6), 2, D) }, spoil),
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
        "sae_weights.safetensors": safetensorsBytes(tensors, spoil),
      });
    }
    default: {
      const tensors = { atoms: W_DEC, ...(draw.chance(0.5) && { center: B_DEC }) };
      const [file, bytes] = draw.pick([
        ["w.safetensors", (): Buffer => safetensorsBytes(tensors, spoil)],
        ["w.npy", (): Buffer => npy(draw, W_DEC)],
        ["w.npz", (): Buffer => npz(draw, tensors)],
      ] as const);
      return made("atoms", { [file]: bytes() }, { file, flags: ATOM_FLAGS });
    }
  }
}
