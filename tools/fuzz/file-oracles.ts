import type { DictionaryWeights } from "../../src/engine/core/dictionary-weights.ts";
import type { FileCase } from "./file-cases.ts";
import { D, M } from "./hand-made.ts";
import { arraysOf, type PublishedFolder, same, sameNumbers } from "./published-folders.ts";
import { formatOf, type Stored, storedTensors } from "./tensor-files.ts";

/** What files say, read independently of the product: an accepted file must not have been read as something else. */

const transposed = ({ shape, floats }: Stored): Float32Array => {
  const [rows, columns] = shape as [number, number];
  return floats.map((_, i) => floats[(i % rows) * columns + Math.floor(i / rows)]!);
};

/** What is wrong with weights that a case was accepted with; null: nothing, or the simple reader cannot tell. */
export function weightsFault(one: FileCase, weights: DictionaryWeights): string | null {
  for (const [name, values] of Object.entries(arraysOf(weights))) {
    // A threshold of infinity is that of an atom that never fires.
    if (name !== "threshold" && !values.every(Number.isFinite)) return `a ${name} that is not finite`;
  }
  if (one.published !== undefined) return publishedFault(one, one.published, weights);
  if (one.kind === "sae-lens") return saeLensFault(one, weights);
  const [name, bytes] = Object.entries(one.files).find(([file]) => /^(?:w|weights)\./.test(file))!;
  const matrices = [...(storedTensors(name, bytes)?.values() ?? [])].filter(({ shape }) => shape.length === 2);
  if (matrices.length !== 1 || same(matrices[0]!.floats, weights.atoms)) return null;
  return "other atoms than the file's";
}

/**
 * A fixture's arrays that are one of its tensors, as it lies or transposed, must be that tensor of the damaged file too. Bytes
 * of a zip have a CRC-32, which has to show damage.
 */
function publishedFault(
  { damage, files, damagedFile }: FileCase,
  published: PublishedFolder,
  weights: DictionaryWeights,
) {
  if (damage !== "bytes" && damage !== "config") return null;
  if (published.weightsFiles.length > 1 || !alike(weights, published.weights)) return null;
  const format = formatOf(damagedFile);
  if (format === "npz" && !sameNumbers(weights, published.weights)) return "other numbers than before";
  const name = Object.keys(files).find((file) => formatOf(file) === "safetensors");
  const stored = name === undefined ? null : storedTensors(name, files[name]!);
  if (stored === null) return null;
  const arrays = arraysOf(weights);
  for (const [array, { tensor, turned }] of relationsOf(published)) {
    const found = stored.get(tensor);
    if (found === undefined) continue;
    const wanted = turned ? transposed(found) : found.floats;
    if (!same(wanted, arrays[array]!)) return `another ${array} than the file's ${tensor}`;
  }
  return null;
}

/** Of one kind with the same arrays of the same lengths: only then a relation must hold for both. */
function alike(a: DictionaryWeights, b: DictionaryWeights): boolean {
  const lengths = (one: DictionaryWeights): string =>
    Object.entries(arraysOf(one))
      .map(([name, { length }]) => `${name} ${length}`)
      .join();
  return a.kind === b.kind && lengths(a) === lengths(b);
}

interface Relation {
  readonly tensor: string;
  readonly turned: boolean;
}
const known = new Map<PublishedFolder, Map<string, Relation>>();

/** Which array of a dictionary is which tensor of its publisher's file. */
function relationsOf(folder: PublishedFolder): ReadonlyMap<string, Relation> {
  const found = known.get(folder) ?? new Map<string, Relation>();
  if (!known.has(folder)) {
    for (const [array, values] of Object.entries(arraysOf(folder.weights))) {
      for (const [tensor, { shape, data }] of Object.entries(folder.weightsFiles[0]!.tensors)) {
        const stored = { shape, floats: Float32Array.from(data) };
        const turned = shape.length === 2 && same(transposed(stored), values);
        if (turned || same(stored.floats, values)) found.set(array, { tensor, turned });
      }
    }
    known.set(folder, found);
  }
  return found;
}

/** Settings that SAELens 6.54.12 itself would load, as far as they decide codes (handle_config_defaulting). */
function saeLensFault({ files }: FileCase, weights: DictionaryWeights): string | null {
  const config = configOf(files["cfg.json"]!);
  if (config === null) return null;
  const { metadata, activation_fn: fn, activation_fn_str: oldFn } = config;
  const said = config["sae_lens_version"] ?? (metadata as Record<string, unknown>)?.["sae_lens_version"];
  const version = typeof said === "string" ? said : "0";
  const kwargs = (config["activation_fn_kwargs"] ?? {}) as { k?: unknown };
  let { architecture = "standard", k = 100 } = config;
  if (!(Number.parseInt(version, 10) >= 6)) {
    if ((oldFn ?? fn) === "topk" && kwargs.k !== undefined) architecture = "topk";
    if (architecture === "topk" && kwargs.k !== undefined) k = kwargs.k;
  }
  const kinds: Record<string, string> = { standard: "relu", abstopk: "abs_topk" };
  const kind = kinds[String(architecture)] ?? architecture;
  if (kind !== weights.kind) return `kind ${weights.kind}, where SAELens has ${String(architecture)}`;
  const settings = weights.settings as unknown as Record<string, unknown>;
  const subtracts = config["apply_b_dec_to_input"] ?? true;
  const norm = config["normalize_activations"];
  const pursuit = weights.kind === "matching_pursuit";
  const wanted: Record<string, unknown> = {
    inputNorm: norm === null || norm === undefined || norm === false ? "none" : norm,
    ...(weights.kind === "topk" && { k }),
    ...(pursuit
      ? {
          center: subtracts,
          reselect: (config["stop_on_duplicate_support"] ?? true) ? "stop" : "add",
          maxAtoms: config["max_iterations"] ?? D,
          residualThreshold: Math.max(0, Number(config["residual_threshold"] ?? 0.01)),
        }
      : { subtractCenter: subtracts, center: true }),
  };
  const other = Object.entries(wanted).find(([name, value]) => settings[name] !== value);
  if (other !== undefined) return `${other[0]} ${String(settings[other[0]])}, where SAELens has ${String(other[1])}`;
  return weights.m === M ? null : `${weights.m} atoms of ${M}`;
}

function configOf(bytes: Uint8Array): Record<string, unknown> | null {
  try {
    // NaN in metadata plays no part.
    const text = Buffer.from(bytes)
      .toString("utf8")
      .replace(/^\uFEFF/, "")
      .replaceAll(/\bNaN\b|-?Infinity\b/g, "null");
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null;
  }
}
