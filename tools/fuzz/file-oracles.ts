import type { DictionaryWeights } from "../../src/engine/core/dictionary-weights.ts";
import { D, type FileCase, M } from "./file-cases.ts";

/** What files say, read independently of the product: an accepted file must not have been read as something else. */

interface Stored {
  readonly shape: readonly number[];
  readonly floats: Float32Array;
}

/** Float32 tensors of a .safetensors or .npy file by name; null where this simple reader cannot tell. */
function stored(name: string, bytes: Uint8Array): ReadonlyMap<string, Stored> | null {
  try {
    if (name.endsWith(".safetensors")) return storedSafetensors(Buffer.from(bytes));
    if (name.endsWith(".npy")) return storedNpy(Buffer.from(bytes));
  } catch {
    return null;
  }
  return null;
}

const floatsOf = (bytes: Buffer): Float32Array =>
  Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));

function storedSafetensors(bytes: Buffer): ReadonlyMap<string, Stored> {
  const start = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString("utf8", 8, start)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const entries = Object.entries(header).filter(([name, one]) => name !== "__metadata__" && one.dtype === "F32");
  return new Map(
    entries.map(
      ([
        name,
        {
          shape,
          data_offsets: [from, to],
        },
      ]) => [name, { shape, floats: floatsOf(bytes.subarray(start + from, start + to)) }],
    ),
  );
}

/** The header is a Python literal, which becomes JSON by its brackets and words. */
function storedNpy(bytes: Buffer): ReadonlyMap<string, Stored> {
  const start = bytes[6] === 1 ? 10 + bytes.readUInt16LE(8) : 12 + bytes.readUInt32LE(8);
  const literal = bytes
    .toString("latin1", bytes[6] === 1 ? 10 : 12, start)
    .replaceAll("'", '"')
    .replaceAll("(", "[")
    .replaceAll(")", "]")
    .replaceAll("True", "true")
    .replaceAll("False", "false")
    .replaceAll(/,\s*([\]}])/g, "$1");
  const header = JSON.parse(literal) as { descr: string; fortran_order: boolean; shape: [number, number] };
  if (header.descr !== "<f4") throw new Error("not told");
  const { shape } = header;
  const floats = floatsOf(bytes.subarray(start));
  const [rows, columns] = shape;
  const at = (i: number): number => Math.floor(i / columns) + (i % columns) * rows;
  return new Map([["array", { shape, floats: header.fortran_order ? floats.map((_, i) => floats[at(i)]!) : floats }]]);
}

const same = (a: Float32Array, b: Float32Array): boolean =>
  a.length === b.length && a.every((value, i) => Object.is(value, b[i]));

const transposed = ({ shape, floats }: Stored): Float32Array => {
  const [rows, columns] = shape as [number, number];
  return floats.map((_, i) => floats[(i % rows) * columns + Math.floor(i / rows)]!);
};

/**
 * What is wrong with weights that a case was accepted with; null: nothing, or the simple reader cannot tell.
 * @param sound the weights of the same files without damage, where those are accepted: a .npz is held to them, since its
 *   CRC-32 has to show any damage
 */
export function weightsFault({ kind, files }: FileCase, weights: DictionaryWeights, sound: DictionaryWeights | null) {
  if (![weights.atoms, ...(weights.center ? [weights.center] : [])].every((one) => one.every(Number.isFinite))) {
    return "weights that are not finite";
  }
  const [name, bytes] = Object.entries(files).find(([one]) =>
    /^(?:w|params(?:_layer_1)?|ae|sae|sae_weights|weights|W_dec_1)\./.test(one),
  )!;
  if (name.endsWith(".npz"))
    return sound === null || same(sound.atoms, weights.atoms) ? null : "other atoms than before";
  const tensors = stored(name, bytes);
  if (tensors === null) return null;
  const matrices = [...tensors.values()].filter(({ shape }) => shape.length === 2);
  const find = (one: string): Stored | undefined =>
    [...tensors].find(([found]) => found.toLowerCase() === one.toLowerCase())?.[1];
  const atoms = {
    dictionary: () => find("atoms")?.floats,
    "sae-lens": () => find("W_dec")?.floats,
    sparsify: () => find("W_dec")?.floats,
    "gemma-scope": () => find("W_dec")?.floats,
    "dictionary-learning": () => {
      const decoder = find("decoder.weight");
      return decoder && transposed(decoder);
    },
    // Norms are folded into them, or multipliers.
    openmoss: () => undefined,
    overcomplete: () => undefined,
    "matryoshka-sae": () => find("W_dec")?.floats,
    openai: () => {
      const decoder = find("decoder.weight");
      return decoder && transposed(decoder);
    },
    "cross-layer": () => (find("w_dec") ?? find("W_dec_1"))?.floats,
    atoms: () => (matrices.length === 1 ? matrices[0]!.floats : undefined),
  }[kind]();
  if (atoms !== undefined && !same(atoms, weights.atoms)) return "other atoms than the file's";
  const encoder = { "sae-lens": "W_enc", sparsify: "encoder.weight", "gemma-scope": "W_enc" }[kind as string];
  const weight = weights.tensors?.["encoder_weight"];
  const found = encoder === undefined ? undefined : find(encoder);
  // Folded norms change it.
  if (found === undefined || weight === undefined || weights.kind === "topk") return null;
  const wanted = kind === "sparsify" ? found.floats : transposed(found);
  return same(wanted, weight) ? null : "another encoder than the file's";
}

/** Settings that SAELens 6.54.12 itself would load, as far as they decide codes (handle_config_defaulting). */
export function saeLensFault({ files }: FileCase, weights: DictionaryWeights): string | null {
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
