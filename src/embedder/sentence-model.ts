import { stat } from "node:fs/promises";
import { join } from "node:path";
import { isObject } from "../engine/core/json-object.ts";
import { FormatError } from "../engine/dictionaries/formats/format-error.ts";
import { readJsonFile } from "../engine/dictionaries/formats/json-file.ts";
import { type EmbedderSettings, POOLINGS, type TokenizerFiles } from "./sentence-embedder.ts";

/** Files of a sentence-transformers model, by their paths in its folder. */
export const MODULES = "modules.json";
export const POOLING = "1_Pooling/config.json";
export const LIMITS = "sentence_bert_config.json";
export const PROMPTS = "config_sentence_transformers.json";
export const TOKENIZER = "tokenizer.json";
export const TOKENIZER_CONFIG = "tokenizer_config.json";
/** The transformer as ONNX, the first that is there. */
export const ONNX_FILES = ["onnx/model.onnx", "model.onnx"] as const;

/** Room for the largest vocabularies: 250,000 tokens take 17 MB. */
const MAX_JSON_BYTES = 128 << 20;

/** A sentence-embedding model in a folder. */
export interface SentenceModel {
  /** Path of the ONNX file. */
  readonly onnx: string;
  readonly onnxBytes: number;
  readonly settings: EmbedderSettings;
}

const readJson = async (folder: string, name: string): Promise<unknown> =>
  (await readJsonFile(join(folder, name), MAX_JSON_BYTES)).value;

const readObject = async (folder: string, name: string): Promise<Record<string, unknown>> => {
  const value = await readJson(folder, name);
  if (!isObject(value)) throw new FormatError(name, "is not a JSON object.");
  return value;
};

/** A file that may be missing. */
const readOptional = (folder: string, name: string): Promise<Record<string, unknown>> =>
  readObject(folder, name).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return {};
    throw error;
  });

/**
 * Reads the settings of a sentence-transformers folder, and finds its ONNX file.
 * @throws FormatError that names what is missing, or what it asks for that is not known here
 */
export async function readSentenceModel(folder: string): Promise<SentenceModel> {
  const modules = await readJson(folder, MODULES).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    throw new FormatError(MODULES, `is missing in ${folder}: it is not a folder of a sentence-transformers model.`);
  });
  const normalize = normalizes(modules);
  const pooling = poolingOf(await readObject(folder, POOLING));
  const limits = await readOptional(folder, LIMITS);
  const { default_prompt_name: prompt } = await readOptional(folder, PROMPTS);
  if (typeof prompt === "string")
    throw new FormatError(PROMPTS, `puts the prompt "${prompt}" before each text, which is not supported.`);
  const longest = limits["max_seq_length"] ?? (await readObject(folder, TOKENIZER_CONFIG))["model_max_length"];
  if (typeof longest !== "number" || !(longest >= 2) || longest > 1 << 20)
    throw new FormatError(LIMITS, "says no max_seq_length, the tokens of a text at most. Add it.");
  const onnx = await findOnnx(folder);
  return {
    ...onnx,
    settings: { maxTokens: Math.floor(longest), lowerCase: limits["do_lower_case"] === true, pooling, normalize },
  };
}

/** Reads the tokenizer of a model's folder. @throws FormatError, and the system's error where a file is missing */
export async function readTokenizer(folder: string): Promise<TokenizerFiles> {
  return { tokenizer: await readObject(folder, TOKENIZER), config: await readObject(folder, TOKENIZER_CONFIG) };
}

/** Whether the modules end in one that normalises. They must be a transformer and pooling before that. */
function normalizes(modules: unknown): boolean {
  if (!Array.isArray(modules)) throw new FormatError(MODULES, "is not a list of modules.");
  const kinds = modules.map((one) => {
    const type: unknown = isObject(one) ? one["type"] : undefined;
    return typeof type === "string" ? type.slice(type.lastIndexOf(".") + 1) : "?";
  });
  const known = ["Transformer", "Pooling", "Normalize"];
  const other = kinds.find((kind, i) => kind !== known[i]);
  if (other !== undefined || kinds.length < 2) {
    const order = kinds.join(", ") || "none";
    throw new FormatError(
      MODULES,
      `names the modules ${order}; supported are Transformer, Pooling and then Normalize.`,
    );
  }
  return kinds.length === known.length;
}

/** Pooling as one name, or as a flag a kind (older files). */
function poolingOf(config: Record<string, unknown>): EmbedderSettings["pooling"] {
  const named = config["pooling_mode"];
  const flagged = Object.keys(config)
    .filter((key) => key.startsWith("pooling_mode_") && config[key] === true)
    .map((key) => key.slice("pooling_mode_".length).replace(/_tokens?$/, ""));
  const modes = typeof named === "string" ? [named] : flagged;
  const pooling = POOLINGS.find((one) => modes.length === 1 && one === modes[0]);
  if (pooling !== undefined) return pooling;
  const said = modes.join(" and ") || "nothing";
  throw new FormatError(POOLING, `pools by ${said}; supported are ${POOLINGS.join(" and ")}.`);
}

async function findOnnx(folder: string): Promise<Pick<SentenceModel, "onnx" | "onnxBytes">> {
  for (const name of ONNX_FILES) {
    const found = await stat(join(folder, name)).catch(() => null);
    if (found?.isFile() === true) return { onnx: join(folder, name), onnxBytes: found.size };
  }
  throw new FormatError(
    ONNX_FILES[0],
    `is missing in ${folder}. Make it by tools/embedder/export_onnx.py, or by optimum-cli export onnx.`,
  );
}
