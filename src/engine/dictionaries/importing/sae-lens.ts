import { stat } from "node:fs/promises";
import { join } from "node:path";
import { INPUT_NORMS, type InputNorm } from "../../core/dictionary.ts";
import type { TopkSettings } from "../../encoders/topk/spec.ts";
import { openTensorFile } from "../formats/open-tensor-file.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import { isObject } from "../../core/is-object.ts";
import { expectShape } from "./expect-shape.ts";
import type { ImportFlags } from "./import-flags.ts";
import { ImportFault } from "./import-fault.ts";
import { foldNorms } from "./fold-norms.ts";
import { Config, isBoolean, isCount, isNumber, isString } from "./read-config.ts";
import { transpose } from "./transpose.ts";
import { type Known, parted, pursuitOf, settle, topkFlags, type Understood } from "./understood.ts";

export const SAE_LENS_CONFIG = "cfg.json";
export const SAE_LENS_WEIGHTS = "sae_weights.safetensors";

/** Architectures of SAELens that are served. */
type Architecture = "matching_pursuit" | "topk";

/**
 * A folder that SAELens 6 saved (`SAE.save_model`): cfg.json and sae_weights.safetensors. Keys that old configs lack have
 * SAELens' own defaults (sae_lens/saes/matching_pursuit_sae.py and topk_sae.py).
 * @throws ImportFault, FormatError
 */
export async function understandSaeLens(folder: string, flags: ImportFlags): Promise<Understood> {
  const config = await Config.read(join(folder, SAE_LENS_CONFIG), "SAELens");
  const architecture = architectureOf(config);
  refuse(config, flags);
  const path = join(folder, SAE_LENS_WEIGHTS);
  if (!(await stat(path).catch(() => null))) {
    throw new ImportFault([`${folder} holds ${SAE_LENS_CONFIG} but no ${SAE_LENS_WEIGHTS}; save_model writes both.`]);
  }
  const file = await openTensorFile(path);
  try {
    const { notes, ...understood } = await READERS[architecture](config, file, flags);
    const metadata = isObject(config.values["metadata"]) ? config.values["metadata"] : {};
    const version = metadata["sae_lens_version"] ?? config.values["sae_lens_version"];
    return {
      source: `SAELens ${typeof version === "string" ? version : "(version not said)"} ${architecture}`,
      ...understood,
      notes: [
        ...notes,
        ...(precisionOf(config) === "float32" ? [] : [`${precisionOf(config)} in SAELens, float32 here (--float32).`]),
      ],
      provenance: Object.fromEntries(Object.entries(metadata).filter(([, value]) => value !== null)),
    };
  } finally {
    await file.close();
  }
}

type Read = Omit<Understood, "source" | "provenance">;

const READERS = { matching_pursuit: readPursuit, topk: readTopk } as const satisfies Record<
  Architecture,
  (config: Config, file: TensorFile, flags: ImportFlags) => Promise<Read>
>;

const sizesOf = (config: Config): { readonly d: number; readonly m: number } => ({
  d: config.said("d_in", 0, isCount).value,
  m: config.said("d_sae", 0, isCount).value,
});

/** Refused where it is not ours, unless a flag takes its place. */
const inputNormOf = (config: Config): Known<InputNorm> =>
  config.said("normalize_activations", "none", isString) as Known<InputNorm>;

/** W_dec [d_sae, d_in] and b_dec [d_in] (MatchingPursuitSAEConfig). */
async function readPursuit(config: Config, file: TensorFile, flags: ImportFlags): Promise<Read> {
  const { d, m } = sizesOf(config);
  const stops = config.said("stop_on_duplicate_support", true, isBoolean);
  const cap = config.said("max_iterations", null, (value): value is number | null => value === null || isCount(value));
  const threshold = config.said("residual_threshold", 1e-2, isNumber);
  const settings = settle(
    config.file,
    {
      score: { value: "relu", from: "SAELens' matching_pursuit" },
      reselect: {
        value: stops.value ? "stop" : "add",
        from: `${stops.from}: stop_on_duplicate_support ${stops.value}`,
      },
      center: config.said("apply_b_dec_to_input", true, isBoolean),
      // Off at 0 and below.
      residualThreshold: { ...threshold, value: Math.max(0, threshold.value) },
      maxAtoms: cap.value === null ? { value: d, from: `${cap.from}: max_iterations null, so d_in` } : cap,
      inputNorm: inputNormOf(config),
    },
    flags,
  );
  expectShape(file.path, file.tensors.get("W_dec")?.shape, "W_dec", [m, d]);
  expectShape(file.path, file.tensors.get("b_dec")?.shape, "b_dec", [d]);
  const atoms = await file.readFloats("W_dec");
  const center = settings.center.value ? await file.readFloats("b_dec") : null;
  return {
    ...pursuitOf({ d, m, atoms, center }, settings),
    notes: center ? [] : ["b_dec is left out: it is neither subtracted nor added back."],
  };
}

/**
 * W_enc [d_in, d_sae], b_enc [d_sae], W_dec [d_sae, d_in], b_dec [d_in] (TopKSAEConfig). b_dec is always added, and
 * subtracted under apply_b_dec_to_input.
 */
async function readTopk(config: Config, file: TensorFile, flags: ImportFlags): Promise<Read> {
  const { d, m } = sizesOf(config);
  const rescales = config.said("rescale_acts_by_decoder_norm", false, isBoolean);
  const { settings, origins } = parted<TopkSettings>(
    topkFlags(
      {
        k: oldK(config) ?? config.said("k", 100, isCount),
        center: { value: true, from: "SAELens' topk" },
        subtractCenter: config.said("apply_b_dec_to_input", true, isBoolean),
        inputNorm: inputNormOf(config),
      },
      flags,
    ),
  );
  for (const [name, shape] of Object.entries({ W_enc: [d, m], b_enc: [m], W_dec: [m, d], b_dec: [d] })) {
    expectShape(file.path, file.tensors.get(name)?.shape, name, shape);
  }
  const weights = {
    kind: "topk" as const,
    d,
    m,
    atoms: await file.readFloats("W_dec"),
    center: await file.readFloats("b_dec"),
    settings,
    tensors: {
      encoder_weight: transpose(await file.readFloats("W_enc"), d, m),
      encoder_bias: await file.readFloats("b_enc"),
    },
  };
  if (!rescales.value) return { weights, origins, notes: [] };
  return {
    weights: foldNorms(weights),
    origins,
    notes: [
      "The atoms' norms are folded into the encoder, as rescale_acts_by_decoder_norm applies them; atoms are of unit norm.",
    ],
  };
}

/** SAELens before 6: activation_fn "topk" with its k in activation_fn_kwargs, and no architecture of that name. */
function oldK({ values, file }: Config): Known<number> | null {
  const kwargs = values["activation_fn_kwargs"];
  if (values["architecture"] === "topk" || !isObject(kwargs) || !isCount(kwargs["k"])) return null;
  return { value: kwargs["k"], from: `${file}: activation_fn_kwargs.k` };
}

/** @throws ImportFault for one that is not served */
function architectureOf(config: Config): Architecture {
  const { architecture = "standard", activation_fn: fn, activation_fn_str: oldFn } = config.values;
  if (architecture === "matching_pursuit" || architecture === "topk") return architecture;
  if (architecture === "standard" && (fn ?? oldFn) === "topk" && oldK(config) !== null) return "topk";
  throw new ImportFault([
    `${config.file}: architecture ${JSON.stringify(architecture)} is not served yet; matching_pursuit and topk are.`,
  ]);
}

/** What SAELens can do and this version cannot, by name, all of it at once. @throws ImportFault */
function refuse(config: Config, flags: ImportFlags): void {
  const { reshape_activations: reshape, normalize_activations: norm, d_in: d, d_sae: m } = config.values;
  const faults: string[] = [];
  if (!isCount(d) || !isCount(m)) faults.push(`${config.file} must hold d_in and d_sae, integers ≥ 1.`);
  if (reshape !== undefined && reshape !== "none") {
    faults.push(
      `reshape_activations ${JSON.stringify(reshape)} is not served yet: fold the heads into one axis before you post rows.`,
    );
  }
  if (norm === "expected_average_only_in" && flags.inputNorm === undefined) {
    faults.push(
      "normalize_activations expected_average_only_in is a factor that SAELens folds into the weights (fold_activation_norm_scaling_factor). " +
        "Fold it and save again, or, if the weights have it already, say --input-norm none.",
    );
  } else if (norm !== undefined && !INPUT_NORMS.some((known) => known === norm) && flags.inputNorm === undefined) {
    faults.push(`normalize_activations ${JSON.stringify(norm)} is not served yet; ${INPUT_NORMS.join(", ")} are.`);
  }
  if (flags.normalize !== undefined) {
    faults.push("--normalize: SAELens uses W_dec as it is; leave the flag out.");
  }
  const precision = precisionOf(config);
  if (precision !== "float32" && flags.float32 !== true) {
    faults.push(
      `dtype ${precision}: SAELens selects in that precision, we in float32, so codes may differ. Say --float32 to import it all the same.`,
    );
  }
  if (faults.length > 0) throw new ImportFault(faults);
}

/** SAELens writes "float32" or "torch.float32"; a config without one has its default. */
function precisionOf({ values: { dtype } }: Config): string {
  if (dtype === undefined) return "float32";
  return typeof dtype === "string" ? dtype.replace("torch.", "") : JSON.stringify(dtype);
}
