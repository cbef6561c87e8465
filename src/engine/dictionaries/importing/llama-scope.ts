import { Fault } from "../../core/errors.ts";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { JumpReluSettings } from "../../encoders/jumprelu.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import { expectTensors, openWeights } from "./expect-tensors.ts";
import { FLAG_VALUES, type ImportFlags } from "./import-flags.ts";
import { fixedBy, onePassOf, rangeOf, refusePursuitFlags } from "./one-pass.ts";
import { BOOLEAN, Config, COUNT, NUMBER, OBJECT, STRING } from "./read-config.ts";
import { scaled, transpose } from "./transpose.ts";
import type { Understood } from "./understood.ts";

const HYPERPARAMETERS = "hyperparams.json";
const R1_CONFIG = "config.json";
const POSITIVE = {
  test: (value: unknown): value is number => NUMBER.test(value) && value > 0,
  words: "a number above 0",
};

/** The two layouts of Llama Scope, and where their weights lie. */
type Layout = "Llama Scope" | "Llama Scope R1-Distill";

/** Settings of a folder, as one of Llama Scope's layouts has them. */
interface Settings {
  readonly d: number;
  readonly m: number;
  /** √d over the mean norm of the rows that the encoder reads. */
  readonly factorIn: number;
  /** The same of the rows that it predicts. */
  readonly factorOut: number;
  readonly transcoder: boolean;
  /** Of every atom; null where the weights hold one an atom. */
  readonly threshold: number | null;
  readonly notes: readonly string[];
  readonly hooks: Readonly<Record<string, unknown>>;
}

/** The layout of a folder and its weights file; null where it is no folder of Llama Scope. */
export async function findLlamaScope(folder: string): Promise<readonly [Layout, string] | null> {
  const isFile = async (path: string): Promise<boolean> => (await stat(path).catch(() => null))?.isFile() ?? false;
  const layouts: readonly (readonly [Layout, string, string])[] = [
    ["Llama Scope", HYPERPARAMETERS, join("checkpoints", "final.safetensors")],
    ["Llama Scope R1-Distill", R1_CONFIG, "sae_weights.safetensors"],
  ];
  for (const [layout, config, weights] of layouts) {
    if ((await isFile(join(folder, config))) && (await isFile(join(folder, weights)))) {
      return [layout, join(folder, weights)];
    }
  }
  return null;
}

/**
 * A folder of Llama Scope: JumpReLU over rows that are scaled by a factor s, √d over their mean norm in the training data. It is
 * folded as in SAELens: W_enc · s, W_dec / s, b_dec / s, and the single threshold of Llama Scope · s. R1-Distill does not store s.
 * @throws Fault, FormatError
 */
export async function understandLlamaScope(
  folder: string,
  layout: Layout,
  weights: string,
  flags: ImportFlags,
): Promise<Understood> {
  refusePursuitFlags(flags, "Llama Scope's JumpReLU");
  const settings = await (layout === "Llama Scope" ? readHyperparameters(folder) : readR1Config(folder, flags));
  if (flags.role !== undefined && (flags.role === "transcoder") !== settings.transcoder) {
    throw new Fault("import", [
      `--role ${flags.role}: the hook points in the config say the other role; leave it out.`,
    ]);
  }
  const file = await openWeights(weights);
  try {
    return await fold(file, layout, settings, flags);
  } finally {
    await file.close();
  }
}

const LOG_THRESHOLD = "log_jumprelu_threshold";

async function fold(file: TensorFile, layout: Layout, settings: Settings, flags: ImportFlags): Promise<Understood> {
  const { d, m, factorIn, factorOut, transcoder } = settings;
  expectTensors(
    file,
    {
      "encoder.weight": [m, d],
      "encoder.bias": [m],
      "decoder.weight": [d, m],
      "decoder.bias": [d],
      ...(settings.threshold === null && { [LOG_THRESHOLD]: [m] }),
    },
    layout,
  );
  const encoder = await file.readFloats("encoder.weight");
  const atoms = transpose(await file.readFloats("decoder.weight"), d, m);
  const center = await file.readFloats("decoder.bias");
  const threshold =
    settings.threshold === null
      ? (await file.readFloats(LOG_THRESHOLD)).map(Math.exp)
      : new Float32Array(m).fill(settings.threshold * factorOut);
  scaled(encoder, factorIn);
  scaled(atoms, 1 / factorOut);
  scaled(center, 1 / factorOut);
  const role = transcoder ? "transcoder" : "autoencoder";
  return {
    source: `${layout} ${transcoder ? "transcoder" : "jumprelu"}`,
    ...onePassOf<JumpReluSettings>(
      {
        kind: "jumprelu",
        role,
        dIn: d,
        dOut: d,
        m,
        atoms,
        center,
        tensors: { encoder_weight: encoder, encoder_bias: await file.readFloats("encoder.bias"), threshold },
        common: fixedBy(layout, false),
        own: { comparison: { value: "strict", from: layout } },
      },
      flags,
    ),
    notes: [`Role ${role}.`, `Thresholds from ${rangeOf(threshold)}.`, ...settings.notes],
    provenance: { library: "llama-scope", norm_factor: factorIn, ...settings.hooks },
    ...(settings.threshold === null && { taken: ["normFactor"] }),
  };
}

const shown = (value: number): string => String(Number(value.toPrecision(6)));

async function readHyperparameters(folder: string): Promise<Settings> {
  const config = await Config.read(join(folder, HYPERPARAMETERS), "Llama Scope");
  refuseOthers(config);
  const d = config.required("d_model", 1, COUNT);
  const m = config.required("d_sae", 1, COUNT);
  const threshold = config.required("jump_relu_threshold", 0, NUMBER);
  if (config.setting("apply_decoder_bias_to_pre_encoder", false, BOOLEAN).value) {
    config.fault(
      "apply_decoder_bias_to_pre_encoder is true; import reads Llama Scope's dictionaries, where it is false.",
    );
  }
  config.required("dataset_average_activation_norm", {}, OBJECT);
  const norms = config.section("dataset_average_activation_norm");
  const hooks = hooksOf(config);
  config.throwFaults();
  const factorIn = Math.sqrt(d) / norms.required("in", 1, POSITIVE);
  const factorOut = hooks.transcoder ? Math.sqrt(d) / norms.required("out", 1, POSITIVE) : factorIn;
  norms.throwFaults();
  const factors = hooks.transcoder ? `${shown(factorIn)} and ${shown(factorOut)}` : shown(factorIn);
  return {
    d,
    m,
    factorIn,
    factorOut,
    transcoder: hooks.transcoder,
    threshold,
    hooks: hooks.names,
    notes: [
      `Norm factor ${factors}, √${d} over dataset_average_activation_norm (${HYPERPARAMETERS}), is folded into the weights and the threshold ${shown(threshold)}.`,
      ...(hooks.transcoder
        ? [
            "No library loads these transcoders with their thresholds: compare codes with your own before you rely on them.",
          ]
        : []),
      ...config.notes,
    ],
  };
}

async function readR1Config(folder: string, { normFactor }: ImportFlags): Promise<Settings> {
  const config = await Config.read(join(folder, R1_CONFIG), "Llama Scope R1-Distill");
  refuseOthers(config);
  const d = config.required("d_model", 1, COUNT);
  const m = d * config.required("expansion_factor", 1, COUNT);
  const hooks = hooksOf(config);
  if (hooks.transcoder) config.fault("hook_point_out is another than hook_point_in; R1-Distill has autoencoders only.");
  if (normFactor === undefined) {
    config.fault(
      `its files do not hold the factor that scales rows. Add ${FLAG_VALUES.normFactor}: norm_scaling_factor of this dictionary in SAELens' pretrained_saes.yaml.`,
    );
  }
  config.throwFaults();
  return {
    d,
    m,
    factorIn: normFactor!,
    factorOut: normFactor!,
    transcoder: false,
    threshold: null,
    hooks: hooks.names,
    notes: [`Norm factor ${shown(normFactor!)} (--norm-factor) is folded into the weights.`, ...config.notes],
  };
}

/** Activations and norms that the layouts allow and the published dictionaries do not use. */
function refuseOthers(config: Config): void {
  const activation = config.setting("act_fn", "jumprelu", STRING).value;
  if (activation !== "jumprelu") config.fault(`act_fn is ${JSON.stringify(activation)}; import reads jumprelu.`);
  const norm = config.setting("norm_activation", "dataset-wise", STRING).value;
  if (norm !== "dataset-wise") config.fault(`norm_activation is ${JSON.stringify(norm)}; import reads dataset-wise.`);
  const type = config.setting("sae_type", "sae", STRING).value;
  if (type !== "sae") config.fault(`sae_type is ${JSON.stringify(type)}; import reads sae.`);
  if (config.setting("use_glu_encoder", false, BOOLEAN).value) {
    config.fault("use_glu_encoder is true; Pursuit does not run encoders with a gate of their own.");
  }
}

function hooksOf(config: Config) {
  const names = { hook_name: config.get("hook_point_in"), hook_name_out: config.get("hook_point_out") };
  return {
    transcoder: typeof names.hook_name_out === "string" && names.hook_name_out !== names.hook_name,
    names: Object.fromEntries(Object.entries(names).filter(([, value]) => typeof value === "string")),
  };
}
