import { join } from "node:path";
import type { TopkSettings } from "../../encoders/topk/spec.ts";
import { openTensorFile } from "../formats/open-tensor-file.ts";
import { expectTensors } from "./expect-tensors.ts";
import type { ImportFlags } from "./import-flags.ts";
import { BOOLEAN, Config, COUNT, or, STRING } from "./read-config.ts";
import { stateDictOf } from "./state-dict.ts";
import { parted, topkFlags, type Understood } from "./understood.ts";
import { decoderAlone, SERVED_KINDS } from "./unserved.ts";

/** Name of the weights without their ending. */
export const SPARSIFY_WEIGHTS = "sae";

/** Keys of cfg.json without a part in encoding: how it was trained (sparsify/config.py, releases 0.0.1 to 1.3.3). */
const HARMLESS_KEYS: ReadonlySet<string> = new Set(["normalize_decoder", "multi_topk"]);

/**
 * A hookpoint's folder that EleutherAI's sparsify saved: cfg.json and sae.safetensors with encoder.weight [m, d],
 * encoder.bias [m], W_dec [m, d], b_dec [d]. sparsify/sparse_coder.py subtracts b_dec from every input and adds it back.
 * @param weights sae.safetensors, or the same tensors in another format
 * @throws ImportFault with every fault, FormatError
 */
export async function understandSparsify(folder: string, weights: string, flags: ImportFlags): Promise<Understood> {
  const config = await Config.read(join(folder, "cfg.json"), "sparsify");
  const d = config.required("d_in", 1, COUNT);
  const expansion = config.setting("expansion_factor", 32, COUNT).value;
  // 0 leaves it to the expansion factor.
  const m = config.setting("num_latents", 0, or(COUNT, 0)).value || d * expansion;
  const { settings, origins } = parted<TopkSettings>(
    topkFlags(
      {
        k: config.setting("k", 32, COUNT),
        center: { value: true, from: "sparsify" },
        subtractCenter: { value: true, from: "sparsify" },
        inputNorm: { value: "none", from: "sparsify" },
      },
      flags,
    ),
  );
  refuseUnserved(config, flags);
  config.settle(HARMLESS_KEYS, "sparsify's topk");
  const opened = await openTensorFile(weights);
  try {
    const { file, notes } = stateDictOf(opened, flags.key);
    const shapes = { "encoder.weight": [m, d], "encoder.bias": [m], W_dec: [m, d], b_dec: [d] };
    expectTensors(file, shapes, "sparsify's topk");
    return {
      source: "sparsify topk",
      weights: {
        kind: "topk",
        role: "autoencoder",
        dIn: d,
        d,
        m,
        atoms: await file.readFloats("W_dec"),
        center: await file.readFloats("b_dec"),
        settings,
        tensors: {
          encoder_weight: await file.readFloats("encoder.weight"),
          encoder_bias: await file.readFloats("encoder.bias"),
        },
      },
      origins,
      defaultBudget: { maxAtoms: Math.min(settings.k, m) },
      notes: [...config.notes, ...notes],
      provenance: { library: "sparsify" },
    };
  } finally {
    await opened.close();
  }
}

function refuseUnserved(config: Config, flags: ImportFlags): void {
  const activation = config.setting("activation", "topk", STRING).value;
  if (activation !== "topk") {
    config.fault(
      `activation ${JSON.stringify(activation)} has an encoder that Pursuit does not run; it runs ${SERVED_KINDS}. ${decoderAlone("sae.W_dec")}`,
    );
  }
  if (config.setting("transcode", false, BOOLEAN).value) {
    config.fault("transcode is true: it predicts another activation than its input. Encode it with sparsify.");
  }
  if (config.setting("skip_connection", false, BOOLEAN).value) {
    config.fault("skip_connection is true: it adds a linear map of the row. Encode it with sparsify.");
  }
  // Before its first release on PyPI.
  if (config.setting("signed", false, BOOLEAN).value) {
    config.fault(`signed is true: Pursuit's topk keeps positive activations only. ${decoderAlone("sae.W_dec")}`);
  }
  if (flags.normalize !== undefined) config.fault("--normalize: sparsify uses W_dec as it is; leave the flag out.");
}
