import { Fault } from "../../core/errors.ts";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { InputNorm } from "../../core/dictionary.ts";
import { LARGEST_FLOAT32 } from "../../core/float-formats.ts";
import { atomNorms } from "../../core/dictionary-weights.ts";
import type { JumpReluSettings } from "../../encoders/jumprelu.ts";
import type { TopkSettings } from "../../encoders/topk.ts";
import { shownJson } from "../formats/json-file.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import { expectTensors, openWeights } from "./expect-tensors.ts";
import type { ImportFlags } from "./import-flags.ts";
import { onePassOf, type OnePassParts, rangeOf, refusePursuitFlags } from "./one-pass.ts";
import { decoderAlone } from "./other-layouts.ts";
import { BOOLEAN, Config, COUNT, NUMBER, STRING } from "./read-config.ts";
import { stateDictOf } from "./state-dict.ts";
import { scaled, transpose } from "./transpose.ts";
import type { Known, Understood } from "./understood.ts";

const CONFIG = "config.json";
const FROM = "OpenMOSS";
const NORM = "dataset_average_activation_norm.";
const LOG_THRESHOLD = "activation_function.log_jumprelu_threshold";

/** Where OpenMOSS looks for weights, in its order (llamascopium/models/sparse_dictionary.py, from_local). */
const WEIGHTS = ["sae_weights", join("checkpoints", "pruned"), join("checkpoints", "final")].flatMap((name) => [
  `${name}.safetensors`,
  `${name}.pt`,
]);

/** Keys of config.json without a part in encoding (SparseDictionaryConfig, SAEConfig of llamascopium 2.0). */
const HARMLESS_KEYS: ReadonlySet<string> = new Set(
  "device dtype use_triton_kernel sparsity_threshold_for_triton_spmm_kernel jumprelu_threshold_window".split(" "),
);

/** The weights of a folder in OpenMOSS' present format; null where it is no such folder. @throws FormatError */
export async function findOpenMoss(folder: string): Promise<string | null> {
  const isFile = async (path: string): Promise<boolean> => (await stat(path).catch(() => null))?.isFile() ?? false;
  if (!(await isFile(join(folder, CONFIG)))) return null;
  for (const path of WEIGHTS.map((name) => join(folder, name))) {
    if (!(await isFile(path))) continue;
    const file = await openWeights(path);
    try {
      const names = [...file.tensors.keys()];
      // R1-Distill has the same files, with other tensors in them.
      return names.some((name) => /(?:^|\.)W_(?:E|Q)$/.test(name)) ? path : null;
    } finally {
      await file.close();
    }
  }
  return null;
}

/**
 * A folder of OpenMOSS (llamascopium, formerly Language-Model-SAEs): W_E [d, m], b_E [m], W_D [m, d], b_D [d], and thresholds as
 * logarithms. Its norm of a data set is folded: W_E · s_in, W_D / s_out, b_D / s_out, so that rows are raw and codes are those of
 * its encode after normalize_activations. Under sparsity_include_decoder_norm scores are h · ||D_j||, values h: a threshold is
 * divided by ||D_j||, a top k selects by the scores.
 * @throws Fault with every fault, FormatError
 */
export async function understandOpenMoss(folder: string, weights: string, flags: ImportFlags): Promise<Understood> {
  refusePursuitFlags(flags, "a dictionary of OpenMOSS");
  const settings = await readSettings(folder, flags);
  const opened = await openWeights(weights);
  try {
    const { file, notes } = stateDictOf(
      opened,
      flags.key ?? ((opened.stateDicts ?? []).includes("sae") ? "sae" : undefined),
    );
    const understood = await understandTensors(file, settings, flags);
    return { ...understood, notes: [...understood.notes, ...settings.notes, ...notes] };
  } finally {
    await opened.close();
  }
}

const ACTIVATIONS = ["relu", "jumprelu", "topk"] as const;

interface Settings {
  readonly kind: (typeof ACTIVATIONS)[number];
  readonly d: number;
  readonly m: number;
  readonly k: number;
  readonly transcoder: boolean;
  readonly hooks: { readonly in: string; readonly out: string };
  readonly norm: "dataset-wise" | "token-wise" | "inference";
  readonly byDecoderNorm: boolean;
  readonly decoderBias: boolean;
  readonly notes: readonly string[];
}

/** Dictionaries of OpenMOSS that are more than one map of a row, and why they are not served. */
const OTHER_TYPES: Readonly<Record<string, string>> = {
  lorsa: "attention over a whole sequence, so a row alone has no code",
  molt: "a sum of low-rank maps instead of atoms, so there is nothing to decode by",
};

async function readSettings(folder: string, flags: ImportFlags): Promise<Settings> {
  const config = await Config.read(join(folder, CONFIG), FROM);
  const type = config.required("sae_type", "sae", STRING);
  if (Object.hasOwn(OTHER_TYPES, type)) {
    throw new Fault("import", [
      `${config.file}: sae_type ${type} is ${OTHER_TYPES[type]!}. Run it with llamascopium; Pursuit serves sae_type sae.`,
    ]);
  }
  if (type !== "sae") {
    throw new Fault("import", [`${config.file}: sae_type is ${shownJson(type)}; Pursuit serves sae_type sae.`]);
  }
  const d = config.required("d_model", 1, COUNT);
  const expansion = config.required("expansion_factor", 1, NUMBER);
  const activation = config.setting("act_fn", "relu", STRING).value.toLowerCase();
  const kind = ACTIVATIONS.find((one) => one === activation);
  if (kind === undefined) {
    config.fault(
      activation.startsWith("batch")
        ? `act_fn ${activation} keeps the top k of a whole batch, and the file holds no threshold for a row. ` +
            "Convert it first: llamascopium.utils.topk_to_jumprelu_conversion writes it as jumprelu."
        : `act_fn is ${shownJson(activation)}; import reads ${ACTIVATIONS.join(", ")}. ${decoderAlone("sae.W_D")}`,
    );
  }
  const norm = config.setting("norm_activation", "dataset-wise", STRING).value;
  if (norm !== "dataset-wise" && norm !== "inference" && norm !== "token-wise") {
    config.fault(
      `norm_activation ${shownJson(norm)} scales a row by the other rows of its batch. Compute the norm of a data set, and save with norm_activation dataset-wise.`,
    );
  }
  if (config.setting("use_glu_encoder", false, BOOLEAN).value) {
    config.fault(
      `use_glu_encoder is true: h · sigmoid(x·W_E_glu + b_E_glu) is not an encoder that Pursuit runs. ${decoderAlone("sae.W_D")}`,
    );
  }
  const hooks = {
    in: config.required("hook_point_in", "", STRING),
    out: config.required("hook_point_out", "", STRING),
  };
  const transcoder = hooks.in !== hooks.out;
  if (transcoder && norm === "token-wise") {
    config.fault(
      "norm_activation token-wise scales the output by its own norm, which nobody knows beforehand. Train the transcoder with dataset-wise.",
    );
  }
  if (flags.role !== undefined && (flags.role === "transcoder") !== transcoder) {
    config.fault(`--role ${flags.role}: the hook points say the other role; leave it out.`);
  }
  const settings = {
    kind: kind ?? "relu",
    d,
    m: Math.trunc(d * expansion),
    k: config.setting("top_k", 50, COUNT).value,
    transcoder,
    hooks,
    norm: norm as Settings["norm"],
    byDecoderNorm: config.setting("sparsity_include_decoder_norm", true, BOOLEAN).value,
    decoderBias: config.setting("use_decoder_bias", true, BOOLEAN).value,
    notes: config.notes,
  };
  config.settle(HARMLESS_KEYS, "OpenMOSS' sae");
  return settings;
}

async function understandTensors(file: TensorFile, settings: Settings, flags: ImportFlags): Promise<Understood> {
  const { kind, d, m, k, transcoder, hooks, norm, byDecoderNorm, decoderBias } = settings;
  const norms = [...file.tensors.keys()].filter((name) => name.startsWith(NORM));
  expectTensors(
    file,
    {
      W_E: [d, m],
      b_E: [m],
      W_D: [m, d],
      ...(decoderBias && { b_D: [d] }),
      ...(kind === "jumprelu" && { [LOG_THRESHOLD]: [m] }),
    },
    "OpenMOSS' sae",
    norms,
  );
  const factorOf = (hook: string): Promise<number> =>
    norm === "dataset-wise" ? normFactor(file, hook, d) : Promise.resolve(1);
  const [factorIn, factorOut] = [await factorOf(hooks.in), await factorOf(hooks.out)];
  const atoms = await file.readFloats("W_D");
  const atomNorm = atomNorms({ atoms, m, d });
  const center = decoderBias ? await file.readFloats("b_D") : null;
  const encoder = transpose(await file.readFloats("W_E"), d, m);
  const tensors: Record<string, Float32Array> = {
    encoder_weight: scaled(encoder, factorIn),
    encoder_bias: await file.readFloats("b_E"),
  };
  const role = transcoder ? "transcoder" : "autoencoder";
  const inputNorm: InputNorm = norm === "token-wise" ? "constant_norm_rescale" : "none";
  const parts = {
    role,
    dIn: d,
    dOut: d,
    m,
    atoms: scaled(atoms, 1 / factorOut),
    center: center && scaled(center, 1 / factorOut),
    tensors,
    common: {
      center: { value: decoderBias, from: CONFIG },
      subtractCenter: { value: false, from: FROM },
      inputNorm: { value: inputNorm, from: `${CONFIG}: norm_activation` },
    },
  } as const satisfies Partial<OnePassParts>;
  const said = {
    source: `OpenMOSS ${kind}${transcoder ? " transcoder" : ""}`,
    provenance: {
      library: "llamascopium",
      hook_name: hooks.in,
      hook_name_out: hooks.out,
      ...(norm === "dataset-wise" && { norm_factor: factorIn }),
      convention: "llamascopium: encode after normalize_activations",
    },
  };
  const notes = [
    `Role ${role}.`,
    ...(norm === "dataset-wise"
      ? [
          `Norm factors ${shown(factorIn)} and ${shown(factorOut)} (${NORM}*) are folded; codes have the scale of training.`,
        ]
      : []),
  ];
  if (kind === "relu") return { ...said, ...onePassOf({ ...parts, kind, own: {} }, flags), notes };
  if (kind === "topk") {
    const scale: Known<boolean | "select"> = {
      value: byDecoderNorm ? "select" : false,
      from: `${CONFIG}: sparsity_include_decoder_norm`,
    };
    const own = { k: { value: k, from: `${CONFIG}: top_k` }, scaleByDecoderNorm: scale };
    return {
      ...said,
      ...onePassOf<TopkSettings>({ ...parts, kind, own }, flags),
      notes,
      defaultBudget: { maxAtoms: Math.min(k, m) },
    };
  }
  const threshold = (await file.readFloats(LOG_THRESHOLD)).map((log, j) =>
    // A zero atom's score is 0 and never over a threshold.
    Math.min(Math.exp(log) / (byDecoderNorm ? atomNorm[j]! : 1), LARGEST_FLOAT32),
  );
  tensors["threshold"] = threshold;
  return {
    ...said,
    ...onePassOf<JumpReluSettings>({ ...parts, kind, own: { comparison: { value: "strict", from: FROM } } }, flags),
    notes: [
      ...notes,
      `Thresholds from ${rangeOf(threshold)}${byDecoderNorm ? ", each divided by its atom's norm" : ""}.`,
    ],
  };
}

/** √d over the mean norm of a hook's rows. @throws Fault */
async function normFactor(file: TensorFile, hook: string, d: number): Promise<number> {
  const name = NORM + hook;
  const stored = file.tensors.has(name) ? await file.readFloats(name) : [];
  const [value] = stored;
  if (stored.length === 1 && value !== undefined && Number.isFinite(value) && value > 0) return Math.sqrt(d) / value;
  throw new Fault("import", [
    `${file.path}: ${name} is ${stored.length > 1 ? `a list of ${stored.length}` : (value ?? "missing")}; norm_activation dataset-wise needs the mean norm of the rows. ` +
      "Set it with set_dataset_average_activation_norm and save again.",
  ]);
}

const shown = (value: number): string => String(Number(value.toPrecision(6)));
