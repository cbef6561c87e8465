import { Fault } from "../../core/errors.ts";
import { join } from "node:path";
import { INPUT_NORMS, type InputNorm } from "../../core/dictionary.ts";
import { shownJson } from "../formats/json-file.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import { isObject } from "../../core/json-object.ts";
import type { OnePassWeights } from "../../encoders/one-pass.ts";
import { expectTensors, openWeights } from "./expect-tensors.ts";
import { foldFactor } from "./fold-norms.ts";
import { FLAG_VALUES, type ImportFlags } from "./import-flags.ts";
import { groupsNote, nestedWidths } from "./one-pass.ts";
import { BOOLEAN, Config, COUNT, or, STRING } from "./read-config.ts";
import { HARMLESS_KEYS, OLD_METADATA } from "./sae-lens-keys.ts";
import { stateDictOf } from "./state-dict.ts";
import { ONE_PASS_ARCHITECTURES, type OnePassArchitecture, readOnePass } from "./sae-lens-one-pass.ts";
import { readPursuit } from "./sae-lens-pursuit.ts";
import { readTopk } from "./sae-lens-topk.ts";
import type { Known, Understood } from "./understood.ts";
import { decoderAlone, SERVED_KINDS } from "./other-layouts.ts";

export const SAE_LENS_CONFIG = "cfg.json";
/** Name of the weights without their ending. */
export const SAE_LENS_WEIGHTS = "sae_weights";

/** Architectures of SAELens that are served. */
type Architecture = "matching_pursuit" | "topk" | OnePassArchitecture;

/**
 * A folder that SAELens saved (`SAE.save_model`): cfg.json and sae_weights.safetensors. Configs before SAELens 6 are read
 * as its loader reads them (sae_lens/loading/pretrained_sae_loaders.py, handle_pre_6_0_config). Where two keys say
 * different things, or a key is unknown, the folder is refused: versions of SAELens differ in what they make of it.
 * @param weights sae_weights.safetensors, or the same tensors in another format
 * @throws Fault with every fault, FormatError
 */
export async function understandSaeLens(
  folder: string,
  weights: string | null,
  flags: ImportFlags,
): Promise<Understood> {
  const config = await Config.read(join(folder, SAE_LENS_CONFIG), "SAELens");
  const architecture = architectureOf(config);
  const settings = commonSettings(architecture, config, flags);
  const read = readerOf(architecture, config, settings, flags);
  const groups = groupsOf(config, settings.m);
  config.settle(HARMLESS_KEYS, `SAELens' ${architecture}`);

  if (weights === null) {
    throw new Fault("import", [
      `${folder} holds ${SAE_LENS_CONFIG} but no ${SAE_LENS_WEIGHTS}.safetensors; save_model writes both.`,
    ]);
  }
  const file = await openWeights(weights);
  try {
    const { file: tensors, notes: held } = stateDictOf(file, flags.key);
    const { notes, ...understood } = foldedBy(settings.normFactor, await read(tensors));
    return {
      source: `SAELens ${versionOf(config) ?? "(version not said)"} ${architecture}`,
      ...understood,
      ...groups,
      notes: [...notes, ...groupsNote(groups), ...settings.notes, ...config.notes, ...held],
      provenance: provenanceOf(config),
    };
  } finally {
    await file.close();
  }
}

/** The weights with the factor that rows are multiplied by before they reach the encoder. */
function foldedBy(factor: number | null, read: SaeLensRead): SaeLensRead {
  if (factor === null) return read;
  return {
    ...read,
    weights: foldFactor(read.weights as OnePassWeights, factor),
    notes: [...read.notes, `Norm factor ${factor} (--norm-factor) is folded into the weights.`],
    taken: ["normFactor"],
  };
}

export type SaeLensRead = Omit<Understood, "source" | "provenance">;

/** Settings that every architecture has. */
export interface SaeLensCommon {
  readonly d: number;
  readonly m: number;
  readonly subtractsBias: Known<boolean>;
  readonly inputNorm: Known<InputNorm>;
  /** The factor that rows are multiplied by; null where the config expects none. */
  readonly normFactor: number | null;
  /** Whether SAELens 6 or later wrote it. */
  readonly sinceSix: boolean;
  readonly notes: readonly string[];
  /** The architecture's own tensors, each of its shape, and no other. @throws FormatError, Fault */
  readonly checkTensors: (file: TensorFile, shapes: Readonly<Record<string, readonly number[]>>) => Promise<void>;
}

/** Reads an architecture's settings, and then its tensors. */
function readerOf(
  architecture: Architecture,
  config: Config,
  common: SaeLensCommon,
  flags: ImportFlags,
): (file: TensorFile) => Promise<SaeLensRead> {
  if (architecture === "topk") return readTopk(config, common, flags);
  refuseActivationArguments(config, architecture);
  if (architecture === "matching_pursuit") return readPursuit(config, common, flags);
  return readOnePass(architecture, config, common, flags);
}

/**
 * The architecture, from its own key (SAELens 3.11 on) and from the activation function that stood for it before 6.
 * @throws Fault for one that is not served
 */
function architectureOf(config: Config): Architecture {
  const architecture = config.get("architecture") ?? "standard";
  const activation = activationOf(config);
  if (architecture === "matching_pursuit" || architecture === "topk") {
    const fits = activation === undefined || (architecture === "topk" && activation === "topk");
    if (!fits) {
      config.fault(
        `architecture ${architecture} and activation_fn ${shownJson(activation)} contradict each other. ` +
          "Keep the one that the dictionary was trained with.",
      );
    }
    return architecture;
  }
  if (isOnePass(architecture) && (activation === undefined || activation === "relu")) return architecture;
  if (activation === "topk") {
    if (architecture === "standard") return "topk";
    throw new Fault("import", [
      `${config.file}: SAELens 5 and 6 read architecture ${shownJson(architecture)} with activation_fn "topk" ` +
        `differently, and Pursuit reads neither. ${decoderAlone("sae.W_dec")}`,
    ]);
  }
  throw new Fault("import", [`${config.file}: ${unserved(architecture)}`]);
}

const isOnePass = (architecture: unknown): architecture is OnePassArchitecture =>
  typeof architecture === "string" && Object.hasOwn(ONE_PASS_ARCHITECTURES, architecture);

/** Nested widths of a training checkpoint, or of the training that an inference save remembers. @throws Fault */
function groupsOf(config: Config, m: number): Pick<Understood, "groups"> {
  const own = config.get("matryoshka_widths");
  const metadata = config.get("metadata");
  const details = isObject(metadata) ? metadata["training_architecture_details"] : undefined;
  const widths = own ?? (isObject(details) ? details["matryoshka_widths"] : undefined);
  return Array.isArray(widths) && widths.length > 0 ? nestedWidths(widths, m, `${config.file}: matryoshka_widths`) : {};
}

/** `activation_fn`, or `activation_fn_str` as SAELens 3 to 5 saved it. */
function activationOf(config: Config): unknown {
  const names = [config.get("activation_fn"), config.get("activation_fn_str")].filter((name) => name !== undefined);
  if (names.length === 2 && names[0] !== names[1]) {
    config.fault(
      `activation_fn is ${shownJson(names[0])}, activation_fn_str ${shownJson(names[1])}. Keep the right one.`,
    );
  }
  return names[0];
}

/** Architectures that are recognised and not served, and what to do with them. */
function unserved(architecture: unknown): string {
  const name = shownJson(architecture);
  const what = `architecture ${name} has an encoder that Pursuit does not run; it runs ${SERVED_KINDS}.`;
  if (architecture === "temporal") return `${what} It needs whole sequences, not rows: encode it with SAELens.`;
  return `${what} ${decoderAlone("sae.W_dec")}`;
}

function commonSettings(architecture: Architecture, config: Config, flags: ImportFlags): SaeLensCommon {
  const d = config.required("d_in", 1, COUNT);
  const m = config.required("d_sae", 1, COUNT);
  if (flags.normalize !== undefined) config.fault("--normalize: SAELens uses W_dec as it is; leave the flag out.");
  const precision = config.setting("dtype", "float32", STRING).value.replace("torch.", "");
  if (precision !== "float32" && flags.float32 !== true) {
    config.fault(
      `dtype ${precision.slice(0, 40)}: SAELens selects in that precision, Pursuit in float32, so codes may differ. ` +
        "Add --float32 to import it all the same.",
    );
  }
  const finetuned = config.setting("finetuning_scaling_factor", false, or(BOOLEAN, null)).value === true;
  return {
    d,
    m,
    sinceSix: isSinceSix(config),
    checkTensors: (file, shapes) => checkTensors(file, shapes, architecture, finetuned),
    subtractsBias: config.setting("apply_b_dec_to_input", true, BOOLEAN),
    inputNorm: inputNormOf(config, flags, foldsFactor(architecture, config)),
    normFactor: factorOf(config, flags),
    notes: [
      ...(precision === "float32" ? [] : [`${precision} in SAELens, float32 here (--float32).`]),
      ...(foldsHeads(config) ? [`Rows come flattened: n_heads · d_head = ${d} numbers each (hook_z).`] : []),
    ],
  };
}

/** `normalize_activations`: null and false are "none", true is "expected_average_only_in", as configs before SAELens 6 have it. */
function normOf(config: Config): unknown {
  const said = config.get("normalize_activations");
  return said === true ? "expected_average_only_in" : said === false ? "none" : said;
}

/** Whether import folds a factor into the weights. Into these two SAELens folds it in other ways. */
const foldsFactor = (architecture: Architecture, config: Config): boolean =>
  architecture !== "matching_pursuit" && config.get("rescale_acts_by_decoder_norm") !== true;

/** --norm-factor, where the config expects a factor. A flag of another norm takes its place. */
const factorOf = (config: Config, { normFactor, inputNorm }: ImportFlags): number | null =>
  inputNorm === undefined && normOf(config) === "expected_average_only_in" ? (normFactor ?? null) : null;

function inputNormOf(config: Config, flags: ImportFlags, folds: boolean): Known<InputNorm> {
  const norm = normOf(config);
  if (norm === undefined) return { value: "none", from: "SAELens' default" };
  const known = INPUT_NORMS.find((one) => one === norm);
  // A flag takes the place of any norm, and `settle` and `topkFlags` show that it does.
  if (known !== undefined || flags.inputNorm !== undefined) return { value: norm as InputNorm, from: config.file };
  if (norm === "expected_average_only_in") {
    if (folds && flags.normFactor !== undefined) {
      return { value: "none", from: "--norm-factor, folded into the weights" };
    }
    config.fault(
      "normalize_activations expected_average_only_in is a factor that SAELens folds into the weights: " +
        "sae.fold_activation_norm_scaling_factor(factor), then sae.save_model" +
        (folds ? `, or add ${FLAG_VALUES.normFactor}. ` : ". ") +
        "If the weights have it already, add --input-norm none.",
    );
  } else if (norm === "covariance_whitening") {
    config.fault(
      "normalize_activations covariance_whitening is a map that SAELens folds into the weights: " +
        "sae.fold_activation_whitening(…), then sae.save_model. If the weights have it already, add --input-norm none.",
    );
  } else {
    config.fault(
      `normalize_activations is ${shownJson(norm)}; Pursuit knows ${INPUT_NORMS.join(", ")}. ` +
        `If one of them does the same to a row, add it: ${FLAG_VALUES.inputNorm}.`,
    );
  }
  return { value: "none", from: config.file };
}

/** Whether rows are attention heads laid side by side. A reshape: flattened rows are encoded as they are. */
function foldsHeads(config: Config): boolean {
  const reshape = config.get("reshape_activations");
  if (reshape === "hook_z" || reshape === "none") return reshape === "hook_z";
  if (reshape !== undefined) {
    config.fault(
      `reshape_activations is ${shownJson(reshape)}; Pursuit knows none and hook_z. ` +
        "If it only lays parts of a row side by side, set it to none and post rows laid out that way.",
    );
  }
  const { hook_name: hook } = provenanceOf(config);
  return typeof hook === "string" && hook.includes("hook_z");
}

/** Only topk has arguments of its activation function: elsewhere they belong to another architecture. */
function refuseActivationArguments(config: Config, architecture: Architecture): void {
  const kwargs = config.get("activation_fn_kwargs");
  if (kwargs === undefined || (isObject(kwargs) && Object.keys(kwargs).length === 0)) return;
  config.fault(
    `activation_fn_kwargs is ${shownJson(kwargs)}, but architecture ${architecture} takes none. ` +
      "Keep the one that the dictionary was trained with.",
  );
}

/**
 * The architecture's own tensors, each of its shape, and no other. Factors of ones are passed over; others are refused.
 * @throws FormatError, Fault
 */
async function checkTensors(
  file: TensorFile,
  shapes: Readonly<Record<string, readonly number[]>>,
  architecture: Architecture,
  finetuned: boolean,
): Promise<void> {
  expectTensors(file, shapes, `SAELens' ${architecture}`, FINETUNING);
  const factors = FINETUNING.filter((name) => file.tensors.has(name));
  if (finetuned && factors.length === 0) {
    throw new Fault("import", [
      `${SAE_LENS_CONFIG}: finetuning_scaling_factor is true, but ${file.path} holds no scaling_factor. ` +
        "Save it again with its factors, or set the key to false if W_dec has them already.",
    ]);
  }
  for (const name of factors) {
    if ((await file.readFloats(name)).every((factor) => Math.abs(factor - 1) <= 1e-5)) continue;
    throw new Fault("import", [
      `${file.path}: ${name} scales activations before decoding. Fold it: W_dec *= ${name}[:, None], ` +
        `then save without ${name} and with finetuning_scaling_factor false.`,
    ]);
  }
}

/** Factors that SAELens before 6 saved; ones have no effect (and older versions saved nothing but ones). */
const FINETUNING = ["scaling_factor", "finetuning_scaling_factor"];

function versionOf(config: Config): string | null {
  const metadata = config.get("metadata");
  const version = (isObject(metadata) ? metadata["sae_lens_version"] : undefined) ?? config.get("sae_lens_version");
  return typeof version === "string" ? version : null;
}

const isSinceSix = (config: Config): boolean => Number.parseInt(versionOf(config) ?? "0", 10) >= 6;

/** metadata, and the flat keys that stood for it before SAELens 6. */
function provenanceOf(config: Config): Readonly<Record<string, unknown>> {
  const metadata = config.get("metadata");
  const flat = Object.entries(OLD_METADATA).map(([key, name]) => [name, config.get(key)] as const);
  const entries = [...flat, ...Object.entries(isObject(metadata) ? metadata : {})];
  return Object.fromEntries(
    entries.filter(([, value]) => value !== undefined && value !== null && !isNonFinite(value)),
  );
}

const isNonFinite = (value: unknown): boolean => typeof value === "number" && !Number.isFinite(value);
