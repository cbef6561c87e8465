import { join } from "node:path";
import type { ImportFlags } from "../importing/import-flags.ts";
import { isObject } from "../../core/json-object.ts";
import { readJsonFile } from "../formats/json-file.ts";
import { INPUT_NORMS, type InputNorm } from "../../core/dictionary.ts";
import type { RegistryEntry } from "./registry.ts";

/** Files of a repository that a dictionary is imported from, by their paths in it. */
export interface LayoutFiles {
  readonly required: readonly string[];
  /** Fetched where the repository has them. */
  readonly optional: readonly string[];
  /** The folder or file that import is given. */
  readonly open: string;
  /** The layer to import, where the folder holds several that belong together. */
  readonly layer?: number;
  /** Number of layers, where all of those that the folder holds are imported. */
  readonly layers?: number;
}

/** Flags of import that stand for what the registry says, and a sentence for each that deserves attention. */
export interface RegisteredFlags {
  readonly flags: ImportFlags;
  readonly notes: readonly string[];
}

/** One layout of the registry: SAELens names them by their conversion functions. */
interface Layout {
  readonly words: string;
  readonly files: (entry: RegistryEntry) => LayoutFiles;
  /** @param root folder that holds the fetched files by their paths in the repository */
  readonly flags?: (entry: RegistryEntry, root: string) => Promise<RegisteredFlags> | RegisteredFlags;
  /** Whose values are right where SAELens' are not. */
  readonly convention?: string;
  /** Why it is not served, and what to do. */
  readonly refused?: string;
}

const folder = (
  { path }: RegistryEntry,
  required: readonly string[],
  optional: readonly string[] = [],
): LayoutFiles => ({
  required: required.map((name) => `${path}/${name}`),
  optional: optional.map((name) => `${path}/${name}`),
  open: path,
});

const file = ({ path }: RegistryEntry): LayoutFiles => ({ required: [path], optional: [], open: path });

const roleOf = ({ kind }: RegistryEntry): RegisteredFlags => ({
  flags: { role: kind.includes("transcoder") ? "transcoder" : "autoencoder" },
  notes: [],
});

const LAYOUTS: Readonly<Record<string, Layout>> = {
  gemma_2: {
    words: "Gemma Scope 1 (params.npz)",
    files: (entry) => folder(entry, ["params.npz"]),
    flags: roleOf,
  },
  gemma_2_transcoder: {
    words: "Gemma Scope 1 (params.npz)",
    files: (entry) => folder(entry, ["params.npz"]),
    flags: roleOf,
  },
  gemma_3: {
    words: "Gemma Scope 2 (params.safetensors)",
    files: (entry) => folder(entry, ["params.safetensors"], ["config.json"]),
    flags: roleOf,
  },
  sae_lens: {
    words: "SAELens (cfg.json, sae_weights.safetensors)",
    files: (entry) => folder(entry, ["cfg.json", "sae_weights.safetensors"]),
    flags: saeLensFlags,
  },
  dictionary_learning_1: {
    words: "dictionary_learning (ae.pt, config.json)",
    files: (entry) => folder(entry, ["ae.pt", "config.json"]),
  },
  llama_scope: {
    words: "Llama Scope (hyperparams.json)",
    files: (entry) => folder(entry, ["hyperparams.json", "checkpoints/final.safetensors"]),
  },
  llama_scope_r1_distill: {
    words: "Llama Scope R1-Distill (config.json)",
    files: (entry) => folder(entry, ["config.json", "sae_weights.safetensors"]),
    flags: ({ normFactor }) => ({ flags: { ...(normFactor !== undefined && { normFactor }) }, notes: [] }),
  },
  qwen_scope: {
    words: "Qwen Scope (layer<n>.sae.pt)",
    files: file,
    // The number is in the repository's name only.
    flags: ({ repo }) => ({ flags: { k: Number(/L0_(\d+)$/.exec(repo)?.[1]) }, notes: [] }),
  },
  mwhanna_transcoder: {
    words: "circuit-tracer (layer_<n>.safetensors)",
    files: (entry) => ({ ...file(entry), optional: ["config.yaml"] }),
  },
  goodfire: { words: "Goodfire (.pt, .pth)", files: file },
  deepseek_r1: { words: "qresearch's DeepSeek-R1 (.pt)", files: file },
  connor_rob_hook_z: {
    words: "Connor and Rob (<name>.pt, <name>_cfg.json)",
    files: (entry) => ({ ...file(entry), required: [entry.path, entry.path.replace(/\.pt$/, "_cfg.json")] }),
  },
  mntss_clt_layer_transcoder: {
    words: "circuit-tracer's cross-layer transcoder (W_enc_<n>, W_dec_<n>)",
    files: ({ path }) => ({
      required: [`W_enc_${path}.safetensors`, `W_dec_${path}.safetensors`],
      optional: [],
      open: "",
      layer: Number(path),
    }),
    // SAELens adds up the layers that it writes to, and drops its thresholds.
    convention: "circuit-tracer",
  },
  temporal: {
    words: "temporal dictionary (conf.yaml, latest_ckpt.safetensors)",
    files: (entry) => folder(entry, ["conf.yaml", "latest_ckpt.safetensors"]),
    refused:
      "Its codes depend on the rows before each row, and rows are encoded one by one here. Encode it with SAELens.",
  },
};

/** The layout of a registered dictionary. */
export function layoutOf({ name, layout }: RegistryEntry): Layout {
  const found = LAYOUTS[layout];
  if (found === undefined) throw new Error(`${name}: the registry's layout ${layout} is not known here.`);
  return found;
}

/**
 * What SAELens' from_pretrained makes of cfg.json: the registry's overrides come first; a factor of the registry is folded where
 * the config expects one, and without a registered factor rows stay as they are.
 */
async function saeLensFlags(
  { name, path, overrides, normFactor }: RegistryEntry,
  root: string,
): Promise<RegisteredFlags> {
  const { value: config } = await readJsonFile(join(root, path, "cfg.json"), 16 << 20);
  const said = overrides["normalize_activations"] ?? (isObject(config) ? config["normalize_activations"] : undefined);
  // from_pretrained computes in float32, whatever cfg.json says.
  const flags: ImportFlags = { float32: true };
  if (overrides["normalize_activations"] !== undefined) {
    const inputNorm = INPUT_NORMS.find((norm) => norm === said);
    if (inputNorm === undefined)
      throw new Error(`${name}: the registry's normalize_activations ${String(said)} is not known here.`);
    return { flags: { ...flags, inputNorm }, notes: [`Input norm ${inputNorm} is the registry's.`] };
  }
  if (said !== true && said !== "expected_average_only_in") return { flags, notes: [] };
  if (normFactor !== undefined) return { flags: { ...flags, normFactor }, notes: [] };
  const inputNorm: InputNorm = "none";
  return {
    flags: { ...flags, inputNorm },
    notes: [
      "cfg.json expects rows scaled by a factor that nobody published. SAELens encodes rows as they are, and so does this import.",
    ],
  };
}
