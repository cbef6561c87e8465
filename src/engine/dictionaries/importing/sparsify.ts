import { Fault } from "../../core/errors.ts";
import { join } from "node:path";
import type { Role } from "../../core/dictionary.ts";
import type { TopkSettings } from "../../encoders/topk.ts";
import { shownJson } from "../formats/json-file.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import { expectTensors, openWeights } from "./expect-tensors.ts";
import type { ImportFlags } from "./import-flags.ts";
import { onePassOf } from "./one-pass.ts";
import { decoderAlone } from "./other-layouts.ts";
import { BOOLEAN, Config, COUNT, or, STRING } from "./read-config.ts";
import { stateDictOf } from "./state-dict.ts";
import { scaled } from "./transpose.ts";
import { type Known, type KnownTopk, topkFlags, type Understood } from "./understood.ts";

/** Name of the weights without their ending. */
export const SPARSIFY_WEIGHTS = "sae";

/** Keys of cfg.json without a part in encoding: how it was trained (config.py of sparsify 0.0.1 to 1.3.3, and of clt-training). */
const HARMLESS_KEYS: ReadonlySet<string> = new Set(
  "normalize_decoder multi_topk dtype tp_output train_post_encoder per_source_tied use_fp8".split(" "),
);

/** Added to active latents by clt-training; zeros, where training did not touch them. */
const POST_ENCODER = "post_enc";
const NORMS = ["in_norm", "out_norm"] as const;

/** Activations of sparsify, each the name of a kind. */
const ACTIVATIONS = ["topk", "groupmax"] as const;

/**
 * A hookpoint's folder that EleutherAI's sparsify saved: cfg.json and sae.safetensors with encoder.weight [m, d],
 * encoder.bias [m], W_dec [m, d], b_dec [d]. sparsify/sparse_coder.py adds b_dec always and subtracts it from every input,
 * except a transcoder's, which may have W_skip [d, d]. clt-training saves the same, with post_enc [m] and, under normalize_io, the
 * mean norms of rows and outputs, which are folded.
 * @param weights sae.safetensors, or the same tensors in another format
 * @throws Fault with every fault, FormatError
 */
export async function understandSparsify(folder: string, weights: string, flags: ImportFlags): Promise<Understood> {
  const settings = await readSparsifyConfig(folder, flags, false);
  const { d, m, kind, role, skip, normalized, k, common, notes: configNotes } = settings;
  const opened = await openWeights(weights);
  try {
    const { file, notes } = stateDictOf(opened, flags.key);
    const shapes = { "encoder.weight": [m, d], "encoder.bias": [m], W_dec: [m, d], b_dec: [d] };
    expectTensors(
      file,
      {
        ...shapes,
        ...(skip && { W_skip: [d, d] }),
        ...(normalized && Object.fromEntries(NORMS.map((name) => [name, [1]]))),
        ...(file.tensors.has(POST_ENCODER) && { [POST_ENCODER]: [m] }),
      },
      `sparsify's ${kind}`,
    );
    await refusePostEncoder(file);
    const [factorIn, factorOut] = normalized ? await normFactors(file, d, role) : [1, 1];
    return {
      source: `sparsify ${kind}${role === "transcoder" ? " transcoder" : ""}`,
      ...onePassOf<TopkSettings>(
        {
          kind,
          role,
          dIn: d,
          dOut: d,
          m,
          atoms: scaled(await file.readFloats("W_dec"), 1 / factorOut),
          center: scaled(await file.readFloats("b_dec"), 1 / factorOut),
          tensors: {
            encoder_weight: scaled(await file.readFloats("encoder.weight"), factorIn),
            encoder_bias: await file.readFloats("encoder.bias"),
            ...(skip && { skip: scaled(await file.readFloats("W_skip"), factorIn / factorOut) }),
          },
          common,
          own: { k },
        },
        // topkFlags has settled them.
        {},
      ),
      defaultBudget: { maxAtoms: Math.min(k.value, m) },
      notes: [...(normalized ? [`${NORMS.join(" and ")} are folded (normalize_io).`] : []), ...configNotes, ...notes],
      provenance: { library: "sparsify" },
    };
  } finally {
    await opened.close();
  }
}

/** cfg.json of one layer. */
export interface SparsifyConfig {
  readonly d: number;
  readonly m: number;
  readonly kind: (typeof ACTIVATIONS)[number];
  readonly role: Role;
  readonly skip: boolean;
  /** Whether the weights hold mean norms of rows and outputs. */
  readonly normalized: boolean;
  readonly k: Known<number>;
  readonly common: Omit<KnownTopk, "k">;
  /** Layers that it writes to, from its own on; 0: its own, by a decoder without a number. */
  readonly targets: number;
  /** Whether what earlier layers write is divided by their number. */
  readonly divided: boolean;
  readonly notes: readonly string[];
}

/** @param whole whether the layer belongs to a set that is imported @throws Fault with every fault */
export async function readSparsifyConfig(folder: string, flags: ImportFlags, whole: boolean): Promise<SparsifyConfig> {
  const config = await Config.read(join(folder, "cfg.json"), "sparsify");
  const d = config.required("d_in", 1, COUNT);
  const expansion = config.setting("expansion_factor", 32, COUNT).value;
  // 0 leaves it to the expansion factor.
  const m = config.setting("num_latents", 0, or(COUNT, 0)).value || d * expansion;
  const { kind, role, skip } = layoutOf(config);
  const normalized = config.setting("normalize_io", false, BOOLEAN).value;
  const targets = refuseJoint(config, whole);
  const divided = config.setting("divide_cross_layer", false, BOOLEAN).value;
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
  return { d, m, kind, role, skip, normalized, k, common, targets, divided, notes: config.notes };
}

function layoutOf(config: Config): {
  readonly kind: (typeof ACTIVATIONS)[number];
  readonly role: Role;
  readonly skip: boolean;
} {
  const activation = config.setting("activation", "topk", STRING).value;
  const kind = ACTIVATIONS.find((one) => one === activation) ?? "topk";
  if (activation === "batchtopk") {
    config.fault(
      "activation batchtopk keeps the top k of a whole batch, and the file holds no threshold for a row, so a row alone has no code. " +
        decoderAlone("sae.W_dec"),
    );
  } else if (kind !== activation) {
    config.fault(
      `activation ${shownJson(activation)} is not one that Pursuit runs: ${ACTIVATIONS.join(", ")}. ${decoderAlone("sae.W_dec")}`,
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

/** Refuses settings of clt-training that Pursuit cannot follow. @returns the number of layers that this one writes to */
function refuseJoint(config: Config, whole: boolean): number {
  const coalesced = config.setting("coalesce_topk", "none", STRING).value;
  if (coalesced !== "none" || config.setting("topk_coalesced", false, BOOLEAN).value) {
    config.fault(
      `coalesce_topk ${shownJson(coalesced)} selects among the latents of several layers at once, which one layer's file does not hold. Train with coalesce_topk none.`,
    );
  }
  const targets = config.setting("n_targets", 0, or(COUNT, 0)).value;
  if (targets > 1 && !whole) {
    config.fault(
      `n_targets is ${targets}: this layer writes to ${targets} layers, each with a decoder of its own. Import the folder above it, whole or with --layer.`,
    );
  }
  if (config.setting("secondary_target_tied", false, BOOLEAN).value) {
    config.fault(
      "secondary_target_tied is true: a layer's decoder takes the latents of other layers, too, which Pursuit does not do. Train without it.",
    );
  }
  config.setting("n_sources", 0, or(COUNT, 0));
  if (config.setting("post_encoder_scale", false, BOOLEAN).value) {
    config.fault(
      "post_encoder_scale is true: it scales active latents after the top k, which Pursuit does not do. Train without it.",
    );
  }
  return whole && config.get("transcode") === true ? targets : 0;
}

/** @throws Fault where active latents get another bias after the selection */
async function refusePostEncoder(file: TensorFile): Promise<void> {
  if (!file.tensors.has(POST_ENCODER) || (await file.readFloats(POST_ENCODER)).every((value) => value === 0)) return;
  throw new Fault("import", [
    `${file.path}: ${POST_ENCODER} is added to active latents after the top k, which Pursuit does not do. ` +
      "Train with train_post_encoder false, which leaves it at zeros.",
  ]);
}

/** √d over the mean norms of rows and outputs. @throws Fault */
async function normFactors(file: TensorFile, d: number, role: Role): Promise<readonly [number, number]> {
  const [rows, outputs] = [(await file.readFloats(NORMS[0]))[0]!, (await file.readFloats(NORMS[1]))[0]!];
  for (const [name, value] of [[NORMS[0], rows] as const, [NORMS[1], outputs] as const]) {
    if (!(Number.isFinite(value) && value > 0)) {
      throw new Fault("import", [
        `${file.path}: ${name} is ${value}; a mean norm is a number above 0. Save the file again.`,
      ]);
    }
  }
  if (role === "autoencoder" && rows !== outputs) {
    throw new Fault("import", [
      `${file.path}: in_norm is ${rows}, out_norm ${outputs}; an autoencoder subtracts and adds one bias, so they must be equal. Is transcode missing in cfg.json?`,
    ]);
  }
  return [Math.sqrt(d) / rows, Math.sqrt(d) / outputs];
}
