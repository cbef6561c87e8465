import { readdir } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { isObject } from "../../core/json-object.ts";
import { ENCODER_KINDS } from "../../encoders/registry.ts";
import { readJsonFile } from "../formats/json-file.ts";

/** What to do with files that import recognises and cannot read as they are: each sentence ends in a way that works. */

/** Encoder kinds, for sentences. */
export const SERVED_KINDS = ENCODER_KINDS.join(", ");

/**
 * The way that is open to every autoencoder: pursuit over its decoder, whatever its own encoder was.
 * @param decoder Python for the decoder's rows [m, d] as a tensor
 */
export const decoderAlone = (decoder: string): string =>
  "Its decoder alone can be encoded by matching pursuit: " +
  `numpy.save("atoms.npy", ${decoder}.detach().float().cpu().numpy()), then "pursuit import atoms.npy --from atoms" ` +
  '(docs/import.md, "A decoder alone").';

/** The way of everything that SAELens' registry lists. */
export const SAE_LENS_EXPORT =
  'SAELens reads those of its registry: SAE.from_pretrained(release, id).save_model("folder"), then "pursuit import folder".';

/** The way of dictionaries that people trained themselves. */
const DICTIONARY_LEARNING_FOLDER =
  "A dictionary of dictionary_learning is imported by its folder, with ae.pt and config.json in it.";

const CONFIG = "config.json";
const MAX_CONFIG_BYTES = 16 << 20;

/** Endings of weights files, those of checkpoints last. */
const WEIGHTS = [".safetensors", ".npz", ".npy", ".pt", ".pth", ".bin", ".ckpt"];

/** Names shown of many. */
const SHOWN = 5;

/** Says what a folder without a layout that is read is, and what to import instead. */
export async function explainFolder(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = new Set(entries.map(({ name }) => name));
  if (names.has("dictionary.json")) {
    return [`${folder} is already a Pursuit dictionary. Put it into the models folder; it needs no import.`];
  }
  const trained = await dictionaryLearningClass(folder);
  if (trained !== null) {
    return [
      `${folder} has the ${CONFIG} of dictionary_learning (${trained}), but no ae.pt: put the weights beside it.`,
    ];
  }
  if (names.has("hyperparams.json"))
    return [
      `${folder} has the hyperparams.json of Llama Scope, but no checkpoints/final.safetensors: put the weights there.`,
    ];
  if (names.has("config.yaml") || names.has("wanb-config.yaml") || names.has("wandb-config.yaml")) {
    return [
      `${folder} is a folder of circuit-tracer's transcoders. Import one layer's file: pursuit import ${join(folder, "layer_0.safetensors")}`,
    ];
  }
  if (names.has("runner_cfg.json")) {
    return [
      `${folder} holds SAELens' training settings (runner_cfg.json) but not cfg.json: import the folder that save_model or save_inference_model wrote.`,
    ];
  }
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
  const inside = await Promise.all(folders.slice(0, 1000).map(async (one) => ((await isDictionary(one)) ? [one] : [])));
  const dictionaries = inside.flat();
  if (dictionaries.length > 0) {
    return [
      `${folder} is not a dictionary, but holds ${dictionaries.length} that can be imported one by one:`,
      ...commands(dictionaries),
    ];
  }
  const files = [...names]
    .filter((name) => WEIGHTS.includes(extname(name).toLowerCase()))
    .map((name) => join(folder, name));
  if (files.length > 0) {
    return [
      `${folder} holds weights, and no cfg.json of SAELens or sparsify that says what they are. Import a weights file by itself:`,
      ...commands(files),
    ];
  }
  return [
    `${folder} holds nothing that import reads: no cfg.json of SAELens or sparsify, no params of Gemma Scope, no weights file ` +
      `(${WEIGHTS.join(", ")}). Name the folder or file that holds the dictionary.`,
  ];
}

/** Import commands, the first of many. */
function commands(paths: readonly string[]): readonly string[] {
  const shown = paths
    .toSorted()
    .slice(0, SHOWN)
    .map((path) => `  pursuit import ${path}`);
  return paths.length > SHOWN ? [...shown, `  … and ${paths.length - SHOWN} more`] : shown;
}

async function isDictionary(folder: string): Promise<boolean> {
  const names = await readdir(folder).catch((): string[] => []);
  return names.some((name) => name === "cfg.json" || /^params\.(?:npz|safetensors)$/.test(name));
}

/** `dict_class` of a folder that dictionary_learning saved; null where it is none. */
async function dictionaryLearningClass(folder: string): Promise<string | null> {
  try {
    const { value } = await readJsonFile(join(folder, CONFIG), MAX_CONFIG_BYTES);
    const trainer = isObject(value) ? value["trainer"] : undefined;
    const name = isObject(trainer) ? trainer["dict_class"] : undefined;
    return typeof name === "string" ? name.slice(0, 80) : null;
  } catch {
    // Whatever it holds, it is not dictionary_learning's.
    return null;
  }
}

/** Tensors that tell of a layout that is not bare atoms, and what to do with it. The first that fits is taken. */
const LAYOUTS: readonly (readonly [tensor: string, what: string, way: string])[] = [
  ["b_pre", "the MNIST notebook's untied matching pursuit (D, W, b_pre)", decoderAlone("D.flatten(1)")],
  ["latent_bias", "a dictionary of OpenAI", "Its file has encoder.weight, latent_bias, decoder.weight and pre_bias."],
  ["W_E", "a dictionary of OpenMOSS", "Import its folder, with config.json in it."],
  [
    "encoder",
    "an encoder of its own (dictionary_learning, Llama Scope and others)",
    `${DICTIONARY_LEARNING_FOLDER} ${SAE_LENS_EXPORT}`,
  ],
  [
    "W_enc",
    "an encoder of its own (SAELens, Gemma Scope, dictionary_learning)",
    "Import the folder that SAELens or Gemma Scope saved it in, with cfg.json or named params.npz. " +
      DICTIONARY_LEARNING_FOLDER,
  ],
];

/**
 * Says what a weights file with these tensors is, if it is no file of bare atoms, and what to do instead.
 * @returns null where no other layout is recognised
 */
export async function explainTensors(path: string, tensors: Iterable<string>): Promise<string | null> {
  const names = [...tensors].map((name) => name.toLowerCase());
  const found = LAYOUTS.find(([tensor]) =>
    names.some((name) => name === tensor.toLowerCase() || name.startsWith(`${tensor.toLowerCase()}.`)),
  );
  if (found === undefined) return null;
  const [tensor, what, way] = found;
  const folder = dirname(path);
  if (await isDictionary(folder)) return `${path} belongs to a folder with its settings: pursuit import ${folder}`;
  const trained = await dictionaryLearningClass(folder);
  if (trained !== null) {
    return `${path} belongs to a folder of dictionary_learning (${trained}): pursuit import ${folder}, with the weights named ae.pt.`;
  }
  return `${basename(path)} holds ${tensor}: ${what}, which import does not read from a file alone. ${way}`;
}
