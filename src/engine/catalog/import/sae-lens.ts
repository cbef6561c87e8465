import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { INPUT_NORMS, type InputNorm } from "../../dictionary.ts";
import { FormatError } from "../formats/format-error.ts";
import { openTensorFile } from "../formats/open-tensor-file.ts";
import type { ImportFlags } from "./import-flags.ts";
import { ImportFault } from "./import-fault.ts";
import { type Known, settle, type Understood } from "./understood.ts";

export const SAE_LENS_CONFIG = "cfg.json";
export const SAE_LENS_WEIGHTS = "sae_weights.safetensors";

/**
 * A folder that SAELens 6 saved (`SAE.save_model`): cfg.json and sae_weights.safetensors with W_dec [d_sae, d_in] and
 * b_dec [d_in]. Keys that old configs lack have SAELens' own defaults
 * (sae_lens/saes/matching_pursuit_sae.py, MatchingPursuitSAEConfig).
 * @throws ImportFault, FormatError
 */
export async function understandSaeLens(folder: string, flags: ImportFlags): Promise<Understood> {
  const config = await readConfig(join(folder, SAE_LENS_CONFIG));
  refuse(config, flags);
  const said = <T>(key: string, standard: T, check: (value: unknown) => value is T): Known<T> => {
    const value = config[key];
    if (value === undefined) return { value: standard, from: "SAELens' default" };
    if (!check(value))
      throw new ImportFault([`${SAE_LENS_CONFIG}: ${key} is ${JSON.stringify(value)}, which SAELens does not take.`]);
    return { value, from: SAE_LENS_CONFIG };
  };
  const d = said("d_in", 0, isCount).value;
  const m = said("d_sae", 0, isCount).value;
  const stops = said("stop_on_duplicate_support", true, isBoolean);
  const cap = said("max_iterations", null, (value): value is number | null => value === null || isCount(value));
  // Off at 0 and below.
  const threshold = said("residual_threshold", 1e-2, (value): value is number => Number.isFinite(value));
  const settings = settle(
    `${folder}/${SAE_LENS_CONFIG}`,
    {
      score: { value: "relu", from: "SAELens' matching_pursuit" },
      reselect: {
        value: stops.value ? "stop" : "add",
        from: `${stops.from}: stop_on_duplicate_support ${stops.value}`,
      },
      center: said("apply_b_dec_to_input", true, isBoolean),
      residualThreshold: { ...threshold, value: Math.max(0, threshold.value) },
      maxAtoms: cap.value === null ? { value: d, from: `${cap.from}: max_iterations null, so d_in` } : cap,
      // Refused above where it is not ours, unless a flag takes its place.
      inputNorm: said("normalize_activations", "none", isString) as Known<InputNorm>,
    },
    flags,
  );

  const path = join(folder, SAE_LENS_WEIGHTS);
  if (!(await stat(path).catch(() => null))) {
    throw new ImportFault([`${folder} holds ${SAE_LENS_CONFIG} but no ${SAE_LENS_WEIGHTS}; save_model writes both.`]);
  }
  const file = await openTensorFile(path);
  try {
    expectShape(file.path, file.tensors.get("W_dec")?.shape, "W_dec", [m, d]);
    expectShape(file.path, file.tensors.get("b_dec")?.shape, "b_dec", [d]);
    const metadata = isObject(config["metadata"]) ? config["metadata"] : {};
    const version = metadata["sae_lens_version"] ?? config["sae_lens_version"];
    return {
      source: `SAELens ${typeof version === "string" ? version : "(version not said)"} matching_pursuit`,
      d,
      m,
      atoms: await file.readFloats("W_dec"),
      center: settings.center.value ? await file.readFloats("b_dec") : null,
      settings,
      notes: [
        ...(settings.center.value ? [] : ["b_dec is left out: it is neither subtracted nor added back."]),
        ...(precisionOf(config) === "float32" ? [] : [`${precisionOf(config)} in SAELens, float32 here (--float32).`]),
      ],
      provenance: Object.fromEntries(Object.entries(metadata).filter(([, value]) => value !== null)),
    };
  } finally {
    await file.close();
  }
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  try {
    const config: unknown = JSON.parse(await readFile(path, "utf8"));
    if (isObject(config)) return config;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new FormatError(path, "is not a JSON object.");
}

/** What SAELens can do and this version cannot, by name, all of it at once. @throws ImportFault */
function refuse(config: Record<string, unknown>, flags: ImportFlags): void {
  const { architecture, reshape_activations: reshape, normalize_activations: norm, d_in: d, d_sae: m } = config;
  if (architecture !== "matching_pursuit") {
    throw new ImportFault([
      `${SAE_LENS_CONFIG}: architecture ${JSON.stringify(architecture ?? "standard")} is not served yet; matching_pursuit is.`,
    ]);
  }
  const faults: string[] = [];
  if (!isCount(d) || !isCount(m)) faults.push(`${SAE_LENS_CONFIG} must hold d_in and d_sae, integers ≥ 1.`);
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
function precisionOf({ dtype }: Record<string, unknown>): string {
  if (dtype === undefined) return "float32";
  return typeof dtype === "string" ? dtype.replace("torch.", "") : JSON.stringify(dtype);
}

/** @throws FormatError */
export function expectShape(
  file: string,
  found: readonly number[] | undefined,
  name: string,
  shape: readonly number[],
): void {
  if (found?.join() === shape.join()) return;
  throw new FormatError(
    file,
    found ? `${name} is [${found.join(", ")}]; [${shape.join(", ")}] was due.` : `holds no tensor ${name}.`,
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isBoolean = (value: unknown): value is boolean => typeof value === "boolean";
const isString = (value: unknown): value is string => typeof value === "string";
const isCount = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 1;
