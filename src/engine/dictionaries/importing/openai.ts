import { Fault } from "../../core/errors.ts";
import type { TopkSettings } from "../../encoders/topk.ts";
import { shownJson } from "../formats/json-file.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import { expectTensors, matrixShape } from "./expect-tensors.ts";
import { FLAG_VALUES, type ImportFlags } from "./import-flags.ts";
import { onePassOf, refusePursuitFlags, refuseTranscoder } from "./one-pass.ts";
import { decoderAlone } from "./other-layouts.ts";
import { COUNT } from "./read-config.ts";
import { transpose } from "./transpose.ts";
import type { Known, Understood } from "./understood.ts";

const FROM = "OpenAI's sparse_autoencoder";
const TENSORS = ["pre_bias", "latent_bias", "encoder.weight", "decoder.weight"] as const;
const STATISTICS = ["stats_last_nonzero", "latents_activation_frequency", "latents_mean_square"];

/** Whether a file holds an autoencoder of OpenAI (github.com/openai/sparse_autoencoder, model.py). */
export const isOpenAi = ({ tensors }: TensorFile): boolean => TENSORS.every((name) => tensors.has(name));

/**
 * OpenAI's autoencoder: encoder.weight [m, d], latent_bias [m], decoder.weight [d, m] and pre_bias [d], which is subtracted first
 * and added last. Rows are layer-normed exactly where the activation is TopK.
 * @throws Fault, FormatError
 */
export async function understandOpenAi(file: TensorFile, flags: ImportFlags): Promise<Understood> {
  refusePursuitFlags(flags, "OpenAI's autoencoder");
  refuseTranscoder(flags, FROM);
  const [m, d] = matrixShape(file, "encoder.weight");
  expectTensors(
    file,
    { "encoder.weight": [m, d], latent_bias: [m], "decoder.weight": [d, m], pre_bias: [d] },
    FROM,
    STATISTICS,
  );
  const { k, rectify } = activationOf(file, flags);
  const from = k === null ? FROM : `${FROM}, with TopK`;
  const parts = {
    role: "autoencoder",
    dIn: d,
    dOut: d,
    m,
    atoms: transpose(await file.readFloats("decoder.weight"), d, m),
    center: await file.readFloats("pre_bias"),
    tensors: {
      encoder_weight: await file.readFloats("encoder.weight"),
      encoder_bias: await file.readFloats("latent_bias"),
    },
    common: {
      center: { value: true, from },
      subtractCenter: { value: true, from },
      inputNorm: { value: k === null ? "none" : "layer_norm", from },
    },
  } as const;
  const said = { provenance: { library: "openai/sparse_autoencoder" }, taken: ["k"] } as const;
  if (k === null) {
    return { ...said, source: "OpenAI relu", ...onePassOf({ ...parts, kind: "relu", own: {} }, flags), notes: [] };
  }
  return {
    ...said,
    source: "OpenAI topk",
    ...onePassOf<TopkSettings>({ ...parts, kind: "topk", own: { k, rectify } }, flags),
    notes: [],
    defaultBudget: { maxAtoms: Math.min(k.value, m) },
  };
}

interface ActivationSettings {
  /** null: ReLU. */
  readonly k: Known<number> | null;
  readonly rectify: Known<boolean>;
}

/** The activation that the state dict names; a file without that name is ReLU's, as in from_state_dict. @throws Fault */
function activationOf({ path, settings }: TensorFile, flags: ImportFlags): ActivationSettings {
  const stored = settings?.get("activation");
  const name = stored ?? (flags.k === undefined ? "ReLU" : "TopK");
  const rectify = { value: true, from: FROM };
  if (name === "ReLU" && flags.k === undefined) return { k: null, rectify };
  if (name !== "TopK") {
    const given = flags.k === undefined ? "" : `--k ${flags.k}: `;
    throw new Fault("import", [
      `${given}${path} has activation ${shownJson(name)}; import reads ReLU, and TopK with its k. ${decoderAlone("ae.decoder.weight.T")}`,
    ]);
  }
  const postact = settings?.get("activation_state_dict.postact_fn") ?? "ReLU";
  if (postact !== "ReLU" && postact !== "Identity") {
    throw new Fault("import", [
      `${path}: activation_state_dict.postact_fn is ${shownJson(postact)}; import reads ReLU and Identity. ${decoderAlone("ae.decoder.weight.T")}`,
    ]);
  }
  const k = settings?.get("activation_state_dict.k");
  if (flags.k !== undefined && k !== undefined && flags.k !== k) {
    throw new Fault("import", [`--k ${flags.k}: ${path} holds k ${shownJson(k)}; leave the flag out.`]);
  }
  const settled = k ?? flags.k;
  if (settled === undefined) throw new Fault("import", [`${path} names TopK but no k. Add ${FLAG_VALUES.k}.`]);
  if (!COUNT.test(settled)) {
    throw new Fault("import", [
      `${path}: activation_state_dict.k is ${shownJson(settled)}; it must be ${COUNT.words}.`,
    ]);
  }
  return {
    k: { value: settled, from: k === undefined ? "--k" : "the file's activation_state_dict" },
    rectify: postact === "ReLU" ? rectify : { value: false, from: "the file's postact_fn" },
  };
}
