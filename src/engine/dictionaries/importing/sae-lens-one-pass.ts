import type { AbsTopkSettings } from "../../encoders/abs-topk.ts";
import type { JumpReluSettings } from "../../encoders/jumprelu.ts";
import type { OnePassWeights } from "../../encoders/one-pass.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import { foldNorms } from "./fold-norms.ts";
import type { ImportFlags } from "./import-flags.ts";
import { type OnePassParts, onePassOf, rangeOf, refusePursuitFlags } from "./one-pass.ts";
import { BOOLEAN, type Config, COUNT } from "./read-config.ts";
import type { SaeLensCommon, SaeLensRead } from "./sae-lens.ts";
import { transpose } from "./transpose.ts";
import type { Known } from "./understood.ts";

/** One architecture of SAELens with an encoder of its own. */
interface Architecture {
  readonly kind: string;
  readonly transcoder?: boolean;
  readonly skip?: boolean;
  /** The file's tensors beside W_enc, W_dec and b_dec, each [d_sae], by the names that Pursuit has for them. */
  readonly tensors: Readonly<Record<string, string>>;
  /** Settings of the kind, read from cfg.json. */
  readonly own?: (config: Config) => OnePassParts["own"];
  /** A checkpoint of training by the top k of a batch. Inference compares with the one threshold that training tracked. */
  readonly batchTopk?: boolean;
}

const LOG_THRESHOLD = "log_threshold";

const strict = (): OnePassParts<JumpReluSettings>["own"] => ({
  comparison: { value: "strict", from: "SAELens' jumprelu" },
});

const absTopk = (config: Config): OnePassParts<AbsTopkSettings>["own"] => ({
  k: config.setting("k", 100, COUNT),
  scaleByDecoderNorm: config.setting("rescale_acts_by_decoder_norm", false, BOOLEAN),
});

const batchTopk = {
  kind: "jumprelu",
  tensors: { encoder_bias: "b_enc" },
  own: (config: Config) => {
    // Of a whole batch, so no row has it.
    config.get("k");
    return strict();
  },
  batchTopk: true,
} as const;

/** Architectures by SAELens' names (sae_lens/saes/*.py). */
export const ONE_PASS_ARCHITECTURES = {
  standard: { kind: "relu", tensors: { encoder_bias: "b_enc" } },
  jumprelu: { kind: "jumprelu", tensors: { encoder_bias: "b_enc", threshold: "threshold" }, own: strict },
  gated: { kind: "gated", tensors: { gate_bias: "b_gate", mag_bias: "b_mag", r_mag: "r_mag" } },
  batchtopk: batchTopk,
  matryoshka_batchtopk: batchTopk,
  abstopk: { kind: "abs_topk", tensors: { encoder_bias: "b_enc" }, own: absTopk },
  transcoder: { kind: "relu", transcoder: true, tensors: { encoder_bias: "b_enc" } },
  skip_transcoder: { kind: "relu", transcoder: true, skip: true, tensors: { encoder_bias: "b_enc" } },
  jumprelu_transcoder: {
    kind: "jumprelu",
    transcoder: true,
    tensors: { encoder_bias: "b_enc", threshold: "threshold" },
    own: strict,
  },
  jumprelu_skip_transcoder: {
    kind: "jumprelu",
    transcoder: true,
    skip: true,
    tensors: { encoder_bias: "b_enc", threshold: "threshold" },
    own: strict,
  },
} as const satisfies Record<string, Architecture>;

export type OnePassArchitecture = keyof typeof ONE_PASS_ARCHITECTURES;

/**
 * W_enc [d_in, d_sae], W_dec [d_sae, d_out], b_dec [d_out] and the architecture's own tensors. b_dec is always added, and
 * subtracted under apply_b_dec_to_input, which a transcoder must not have.
 */
export function readOnePass(
  name: OnePassArchitecture,
  config: Config,
  common: SaeLensCommon,
  flags: ImportFlags,
): (file: TensorFile) => Promise<SaeLensRead> {
  const {
    kind,
    transcoder = false,
    skip = false,
    tensors: own,
    own: settings,
    batchTopk: tracked = false,
  }: Architecture = ONE_PASS_ARCHITECTURES[name];
  const { d, m } = common;
  refusePursuitFlags(flags, `SAELens' ${name}`);
  const dOut = transcoder ? config.required("d_out", 1, COUNT) : d;
  const subtractsBias = transcoder ? neverSubtracts(config, common.subtractsBias) : common.subtractsBias;
  const kindSettings = settings?.(config) ?? {};
  const rescales = tracked && config.setting("rescale_acts_by_decoder_norm", true, BOOLEAN).value;
  return async (file) => {
    const vectors = Object.values(own).map((vector) => storedName(file, vector));
    await common.checkTensors(file, {
      W_enc: [d, m],
      W_dec: [m, dOut],
      b_dec: [dOut],
      ...Object.fromEntries(vectors.map((vector) => [vector, [m]])),
      ...(skip && { W_skip: [dOut, d] }),
      ...(tracked && { topk_threshold: [] }),
    });
    const tensors: Record<string, Float32Array> = {
      encoder_weight: transpose(await file.readFloats("W_enc"), d, m),
    };
    for (const [ours, theirs] of Object.entries(own)) tensors[ours] = await readVector(file, theirs);
    if (tracked) tensors["threshold"] = new Float32Array(m).fill((await file.readFloats("topk_threshold"))[0]!);
    if (skip) tensors["skip"] = await file.readFloats("W_skip");
    const read = onePassOf(
      {
        kind,
        role: transcoder ? "transcoder" : "autoencoder",
        dIn: d,
        dOut,
        m,
        atoms: await file.readFloats("W_dec"),
        center: await file.readFloats("b_dec"),
        tensors,
        common: {
          center: { value: true, from: `SAELens' ${name}` },
          subtractCenter: subtractsBias,
          inputNorm: common.inputNorm,
        },
        own: kindSettings,
      },
      flags,
    );
    const threshold = tensors["threshold"];
    const notes = [
      ...(threshold === undefined ? [] : [`Thresholds from ${rangeOf(threshold)}.`]),
      ...(tracked
        ? ["A training checkpoint: rows keep what exceeds its threshold, as save_inference_model writes it."]
        : []),
      ...(rescales ? ["The atoms' norms are folded into the encoder, as save_inference_model does."] : []),
    ];
    const weights = rescales ? foldNorms(read.weights as OnePassWeights) : read.weights;
    return { ...read, weights, notes };
  };
}

/** Checkpoints of SAELens before 6.48 hold the threshold's logarithm. */
const storedName = ({ tensors }: TensorFile, name: string): string =>
  name === "threshold" && !tensors.has(name) && tensors.has(LOG_THRESHOLD) ? LOG_THRESHOLD : name;

async function readVector(file: TensorFile, name: string): Promise<Float32Array> {
  const stored = storedName(file, name);
  const values = await file.readFloats(stored);
  return stored === LOG_THRESHOLD ? values.map(Math.exp) : values;
}

/** SAELens refuses to load a transcoder that subtracts its output's bias from its input, and so must its config. */
function neverSubtracts(config: Config, subtracts: Known<boolean>): Known<boolean> {
  if (!subtracts.value) return subtracts;
  config.fault(
    "apply_b_dec_to_input is true or missing; SAELens' transcoders need it to be false. Set it so if that is what was trained.",
  );
  return { ...subtracts, value: false };
}
