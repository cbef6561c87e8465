import { Fault } from "../../core/errors.ts";
import { posix } from "node:path";
import type { LayoutFiles } from "../registry/layouts.ts";

/** Weights and settings of one dictionary in a folder, by the layouts that import reads: [required, optional]. */
const FOLDERS: readonly (readonly [readonly string[], readonly string[]])[] = [
  [["cfg.json", "sae_weights.safetensors"], []],
  [["cfg.json", "sae.safetensors"], []],
  [["cfg.json", "sae_weights.pt"], []],
  [["cfg.json", "sae.pt"], []],
  [["hyperparams.json", "checkpoints/final.safetensors"], []],
  [["config.json", "sae_weights.safetensors"], []],
  [["config.json", "sae_weights.pt"], []],
  [["config.json", "ae.pt"], []],
  [["config.json", "sae.pt"], []],
  [["config.json", "model.safetensors"], []],
  [["config.json", "model_final.pt"], []],
  [["params.npz"], []],
  [["params.safetensors"], ["config.json"]],
];

const WEIGHTS = /\.(?:safetensors|npz|npy|pt|pth|bin|ckpt)$/i;
/** Files of one layer in a set of layers that belong together. */
const LAYER_FILES = /^(?:params_layer_|W_(?:enc|dec)_)(\d+)\.safetensors$/;
const SETTINGS = ["cfg.json", "config.json", "config.yaml", "hyperparams.json"];
/** Names shown of many. */
const SHOWN = 8;

/** Sub-folders whose files belong to the folder around them. */
export const NESTED_FOLDERS = ["checkpoints"];

/**
 * The files of a dictionary that lies in a folder of a repository.
 * @param folder its path in the repository, "" for the root
 * @param names files in it, those of NESTED_FOLDERS too, relative to it
 * @param layer the one to import of a set of layers; absent: all of them
 * @throws Fault where no layout is recognised, or the folder holds several dictionaries
 */
export function filesOfFolder(folder: string, names: readonly string[], layer?: number): LayoutFiles {
  const held = new Set(names);
  const at = (name: string): string => posix.join(folder, name);
  const found = FOLDERS.find(([required]) => required.every((name) => held.has(name)));
  if (found !== undefined) {
    const [required, optional] = found;
    return { required: required.map(at), optional: optional.filter((name) => held.has(name)).map(at), open: folder };
  }
  const settings = SETTINGS.filter((name) => held.has(name)).map(at);
  const place = folder === "" ? "The repository's root" : folder;
  const layers = new Set(names.flatMap((name) => LAYER_FILES.exec(name)?.slice(1).map(Number) ?? []));
  if (layers.size > 0) {
    if (layer !== undefined && !layers.has(layer)) {
      const numbers = [...layers].toSorted((a, b) => a - b).map(String);
      throw new Fault("import", [`--layer ${layer}: ${place} holds the layers ${listed(numbers)}.`]);
    }
    const wanted = layer === undefined ? layers : new Set([layer]);
    const required = names.filter((name) => wanted.has(Number(LAYER_FILES.exec(name)?.[1]))).toSorted();
    const opened = layer === undefined ? { open: folder, layers: layers.size } : { open: folder, layer };
    return { required: required.map(at), optional: settings, ...opened };
  }
  const weights = names.filter((name) => WEIGHTS.test(name)).toSorted();
  if (weights.length === 1) return { required: [at(weights[0]!)], optional: settings, open: at(weights[0]!) };
  if (weights.length === 0) {
    throw new Fault("import", [
      `${place} holds no weights that import reads (.safetensors, .npz, .npy, .pt, .pth, .bin, .ckpt). ` +
        `Name a folder or a file that does; it holds ${listed(names)}.`,
    ]);
  }
  throw new Fault("import", [
    `${place} holds ${weights.length} weights files. Name one of them: ${listed(weights.map(at))}.`,
  ]);
}

/**
 * The files that a weights file is imported with: itself, and the settings beside it.
 * @param path its path in the repository
 * @param siblings files of its folder
 */
export function filesOfFile(path: string, siblings: readonly string[]): LayoutFiles {
  const [folder, name] = [posix.dirname(path) === "." ? "" : posix.dirname(path), posix.basename(path)];
  const whole = FOLDERS.find(
    ([required]) => required.includes(name) && required.every((one) => siblings.includes(one)),
  );
  if (whole !== undefined) return filesOfFolder(folder, siblings);
  const layer = LAYER_FILES.exec(name)?.[1];
  if (layer !== undefined) return filesOfFolder(folder, siblings, Number(layer));
  const beside = [name.replace(/\.pt$/i, "_cfg.json"), ...SETTINGS].filter(
    (one) => one !== name && siblings.includes(one),
  );
  return {
    required: [path],
    optional: beside.map((one) => posix.join(folder, one)),
    open: path,
  };
}

/** The first of many names, for sentences. */
export function listed(names: readonly string[]): string {
  if (names.length === 0) return "nothing";
  const shown = names.slice(0, SHOWN).join(", ");
  return names.length > SHOWN ? `${shown} and ${names.length - SHOWN} more` : shown;
}
