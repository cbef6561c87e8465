import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { JumpReluSettings } from "../../encoders/jumprelu.ts";
import type { TopkSettings } from "../../encoders/topk.ts";
import { shownJson } from "../formats/json-file.ts";
import { findTensorFile, type TensorFile } from "../formats/tensor-file.ts";
import { expectTensors, openWeights } from "./expect-tensors.ts";
import type { ImportFlags } from "./import-flags.ts";
import { groupsNote, nestedSizes, onePassOf, rangeOf, refusePursuitFlags, refuseTranscoder } from "./one-pass.ts";
import { BOOLEAN, Config, COUNT, STRING } from "./read-config.ts";
import { stateDictOf } from "./state-dict.ts";
import { transpose } from "./transpose.ts";
import type { Understood } from "./understood.ts";

const CONFIG = "config.json";
const FROM = "matryoshka_sae";
const LOG_THRESHOLD = "jumprelu.log_threshold";

/** The weights of a folder of matryoshka_sae; null where it is none. */
export async function findMatryoshkaSae(folder: string): Promise<string | null> {
  const config = await stat(join(folder, CONFIG)).catch(() => null);
  return config?.isFile() ? findTensorFile(folder, "sae") : null;
}

/** Classes by the `sae_type` that its scripts give them. */
const TYPES = ["vanilla", "topk", "batch-topk", "jumprelu", "global-matryoshka-topk"] as const;

/**
 * A checkpoint of github.com/bartbussmann/matryoshka_sae: sae.pt with W_enc [d, m], W_dec [m, d], b_enc, b_dec and, by class, one
 * threshold or jumprelu.log_threshold [m], beside config.json. b_dec is subtracted by every class but JumpReLUSAE, b_enc is added
 * by VanillaSAE and JumpReLUSAE alone; input_unit_norm is the layer norm.
 * @throws Fault with every fault, FormatError
 */
export async function understandMatryoshkaSae(
  folder: string,
  weights: string,
  flags: ImportFlags,
): Promise<Understood> {
  refusePursuitFlags(flags, "a dictionary of matryoshka_sae");
  refuseTranscoder(flags, FROM);
  const settings = await readSettings(folder);
  const opened = await openWeights(weights);
  try {
    const { file, notes } = stateDictOf(opened, flags.key);
    const understood = await understandTensors(file, settings, flags);
    return { ...understood, notes: [...understood.notes, ...settings.notes, ...notes] };
  } finally {
    await opened.close();
  }
}

interface Settings {
  readonly type: (typeof TYPES)[number];
  readonly d: number;
  /** Of TopKSAE. */
  readonly k: number;
  readonly unitNorm: boolean;
  readonly m: number;
  /** Of GlobalBatchTopKMatryoshkaSAE. */
  readonly groupSizes: readonly number[];
  readonly notes: readonly string[];
  readonly provenance: Readonly<Record<string, unknown>>;
}

async function readSettings(folder: string): Promise<Settings> {
  const config = await Config.read(join(folder, CONFIG), FROM);
  const type = config.required("sae_type", "", STRING);
  const known = TYPES.find((one) => one === type);
  if (known === undefined && type !== "") {
    config.fault(`sae_type is ${shownJson(type)}; import reads ${TYPES.join(", ")}. Set it to that of the class.`);
  }
  const nested = known === "global-matryoshka-topk";
  const groupSizes = nested ? sizesOf(config) : [];
  const dictSize = config.required("dict_size", 1, COUNT);
  const settings = {
    type: known ?? "vanilla",
    d: config.required("act_size", 1, COUNT),
    m: nested ? groupSizes.reduce((sum, size) => sum + size, 0) : dictSize,
    k: known === "topk" ? config.required("top_k", 1, COUNT) : 1,
    unitNorm: config.setting("input_unit_norm", true, BOOLEAN).value,
    groupSizes,
    notes: config.notes,
    provenance: Object.fromEntries(
      [
        ["model_name", config.get("model_name")],
        ["hook_name", config.get("hook_point")],
      ].filter(([, value]) => typeof value === "string"),
    ),
  };
  config.throwFaults();
  return settings;
}

/** A list, which the library writes as Python prints it: "[64, 128]". */
function sizesOf(config: Config): readonly number[] {
  const said = config.get("group_sizes");
  let sizes = said;
  try {
    if (typeof said === "string") sizes = JSON.parse(said);
  } catch {
    // The fault below names it.
  }
  if (Array.isArray(sizes) && sizes.length > 0 && sizes.every(COUNT.test)) return sizes;
  config.fault(`group_sizes is ${shownJson(said)}; it must be the list of the groups' sizes.`);
  return [1];
}

async function understandTensors(file: TensorFile, settings: Settings, flags: ImportFlags): Promise<Understood> {
  const { type, d, m, k, unitNorm, groupSizes, provenance } = settings;
  const jumps = type === "jumprelu";
  const tracked = type === "batch-topk" || type === "global-matryoshka-topk";
  expectTensors(
    file,
    {
      W_enc: [d, m],
      W_dec: [m, d],
      b_enc: [m],
      b_dec: [d],
      ...(jumps && { [LOG_THRESHOLD]: [m] }),
      ...(tracked && { threshold: [] }),
    },
    `matryoshka_sae's ${type}`,
  );
  const addsBias = jumps || type === "vanilla";
  const tensors: Record<string, Float32Array> = {
    encoder_weight: transpose(await file.readFloats("W_enc"), d, m),
    encoder_bias: addsBias ? await file.readFloats("b_enc") : new Float32Array(m),
  };
  const from = `matryoshka_sae's ${type}`;
  const parts = {
    role: "autoencoder",
    dIn: d,
    dOut: d,
    m,
    atoms: await file.readFloats("W_dec"),
    center: await file.readFloats("b_dec"),
    tensors,
    common: {
      center: { value: true, from },
      subtractCenter: { value: !jumps, from },
      inputNorm: { value: unitNorm ? "layer_norm" : "none", from: `${CONFIG}: input_unit_norm` },
    },
  } as const;
  const groups = groupSizes.length === 0 ? {} : nestedSizes(groupSizes, m, `${CONFIG}: group_sizes`);
  const said = {
    source: `matryoshka_sae ${type}`,
    ...groups,
    provenance: { library: FROM, class: type, ...provenance },
  };
  const notes = [...groupsNote(groups), ...(addsBias ? [] : ["b_enc is not added, as in the library's own code."])];
  if (type === "vanilla") return { ...said, ...onePassOf({ ...parts, kind: "relu", own: {} }, flags), notes };
  if (type === "topk") {
    return {
      ...said,
      ...onePassOf<TopkSettings>({ ...parts, kind: "topk", own: { k: { value: k, from: `${CONFIG}: top_k` } } }, flags),
      notes,
      defaultBudget: { maxAtoms: Math.min(k, m) },
    };
  }
  const threshold = jumps
    ? (await file.readFloats(LOG_THRESHOLD)).map(Math.exp)
    : new Float32Array(m).fill((await file.readFloats("threshold"))[0]!);
  tensors["threshold"] = threshold;
  return {
    ...said,
    ...onePassOf<JumpReluSettings>(
      { ...parts, kind: "jumprelu", own: { comparison: { value: "strict", from } } },
      flags,
    ),
    notes: [`Thresholds from ${rangeOf(threshold)}.`, ...notes],
  };
}
