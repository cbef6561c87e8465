import { join } from "node:path";
import type { Role } from "../../core/dictionary.ts";
import type { TopkSettings } from "../../encoders/topk/spec.ts";
import { shownJson } from "../formats/json-file.ts";
import { openTensorFile } from "../formats/open-tensor-file.ts";
import { expectTensors } from "./expect-tensors.ts";
import type { ImportFlags } from "./import-flags.ts";
import { onePassOf } from "./one-pass.ts";
import { decoderAlone } from "./other-layouts.ts";
import { BOOLEAN, Config, COUNT, or, STRING } from "./read-config.ts";
import { stateDictOf } from "./state-dict.ts";
import { topkFlags, type Understood } from "./understood.ts";

/** Name of the weights without their ending. */
export const SPARSIFY_WEIGHTS = "sae";

/** Keys of cfg.json without a part in encoding: how it was trained (sparsify/config.py, releases 0.0.1 to 1.3.3). */
const HARMLESS_KEYS: ReadonlySet<string> = new Set(["normalize_decoder", "multi_topk"]);

/** Activations of sparsify, each the name of a kind. */
const ACTIVATIONS = ["topk", "groupmax"] as const;

/**
 * A hookpoint's folder that EleutherAI's sparsify saved: cfg.json and sae.safetensors with encoder.weight [m, d],
 * encoder.bias [m], W_dec [m, d], b_dec [d]. sparsify/sparse_coder.py adds b_dec always and subtracts it from every input,
 * except a transcoder's, which may have W_skip [d, d].
 * @param weights sae.safetensors, or the same tensors in another format
 * @throws ImportFault with every fault, FormatError
 */
export async function understandSparsify(folder: string, weights: string, flags: ImportFlags): Promise<Understood> {
  const config = await Config.read(join(folder, "cfg.json"), "sparsify");
  const d = config.required("d_in", 1, COUNT);
  const expansion = config.setting("expansion_factor", 32, COUNT).value;
  // 0 leaves it to the expansion factor.
  const m = config.setting("num_latents", 0, or(COUNT, 0)).value || d * expansion;
  const { kind, role, skip } = layoutOf(config);
  const { k, ...common } = topkFlags(
    {
      k: config.setting("k", 32, COUNT),
      center: { value: true, from: "sparsify" },
      subtractCenter: { value: role === "autoencoder", from: "sparsify" },
      inputNorm: { value: "none", from: "sparsify" },
    },
    flags,
  );
  if (kind === "groupmax" && m % k.value !== 0) {
    config.fault(`k is ${k.value}; groupmax needs a k that divides the ${m} latents into groups of equal size.`);
  }
  if (flags.normalize !== undefined) config.fault("--normalize: sparsify uses W_dec as it is; leave the flag out.");
  config.settle(HARMLESS_KEYS, `sparsify's ${kind}`);
  const opened = await openTensorFile(weights);
  try {
    const { file, notes } = stateDictOf(opened, flags.key);
    const shapes = { "encoder.weight": [m, d], "encoder.bias": [m], W_dec: [m, d], b_dec: [d] };
    expectTensors(file, { ...shapes, ...(skip && { W_skip: [d, d] }) }, `sparsify's ${kind}`);
    return {
      source: `sparsify ${kind}${role === "transcoder" ? " transcoder" : ""}`,
      ...onePassOf<TopkSettings>(
        {
          kind,
          role,
          dIn: d,
          dOut: d,
          m,
          atoms: await file.readFloats("W_dec"),
          center: await file.readFloats("b_dec"),
          tensors: {
            encoder_weight: await file.readFloats("encoder.weight"),
            encoder_bias: await file.readFloats("encoder.bias"),
            ...(skip && { skip: await file.readFloats("W_skip") }),
          },
          common,
          own: { k },
        },
        // topkFlags has settled them.
        {},
      ),
      defaultBudget: { maxAtoms: Math.min(k.value, m) },
      notes: [...config.notes, ...notes],
      provenance: { library: "sparsify" },
    };
  } finally {
    await opened.close();
  }
}

function layoutOf(config: Config): { readonly kind: string; readonly role: Role; readonly skip: boolean } {
  const activation = config.setting("activation", "topk", STRING).value;
  const kind = ACTIVATIONS.find((one) => one === activation) ?? "topk";
  if (kind !== activation) {
    config.fault(
      `activation ${shownJson(activation)} is none of sparsify's that Pursuit runs: ${ACTIVATIONS.join(", ")}. ${decoderAlone("sae.W_dec")}`,
    );
  }
  const role = config.setting("transcode", false, BOOLEAN).value ? "transcoder" : "autoencoder";
  const skip = config.setting("skip_connection", false, BOOLEAN).value;
  if (skip && role === "autoencoder") {
    config.fault(
      `skip_connection is true and transcode is not: Pursuit adds a linear map of the row in transcoders only. ${decoderAlone("sae.W_dec")}`,
    );
  }
  // Before its first release on PyPI.
  if (config.setting("signed", false, BOOLEAN).value) {
    config.fault(`signed is true: Pursuit's topk keeps positive activations only. ${decoderAlone("sae.W_dec")}`);
  }
  return { kind, role, skip };
}
