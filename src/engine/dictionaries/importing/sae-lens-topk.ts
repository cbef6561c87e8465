import type { TopkSettings } from "../../encoders/topk.ts";
import { shownJson } from "../formats/json-file.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import type { ImportFlags } from "./import-flags.ts";
import { decoderAlone } from "./other-layouts.ts";
import { BOOLEAN, type Config, COUNT, OBJECT, or } from "./read-config.ts";
import type { SaeLensCommon, SaeLensRead } from "./sae-lens.ts";
import { transpose } from "./transpose.ts";
import { type Known, parted, topkFlags } from "./understood.ts";

/**
 * W_enc [d_in, d_sae], b_enc [d_sae], W_dec [d_sae, d_in], b_dec [d_in] (TopKSAEConfig). b_dec is always added, and
 * subtracted under apply_b_dec_to_input.
 */
export function readTopk(
  config: Config,
  common: SaeLensCommon,
  flags: ImportFlags,
): (file: TensorFile) => Promise<SaeLensRead> {
  const { d, m, subtractsBias, inputNorm } = common;
  const rescales = config.setting("rescale_acts_by_decoder_norm", false, BOOLEAN);
  const { settings, origins } = parted<TopkSettings>({
    ...topkFlags(
      {
        k: kOf(config, common.sinceSix, flags),
        center: { value: true, from: "SAELens' topk" },
        subtractCenter: subtractsBias,
        inputNorm,
      },
      flags,
    ),
    ...(rescales.value && { scaleByDecoderNorm: rescales }),
  });
  return async (file) => {
    await common.checkTensors(file, { W_enc: [d, m], b_enc: [m], W_dec: [m, d], b_dec: [d] });
    const weights = {
      kind: "topk",
      role: "autoencoder" as const,
      dIn: d,
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
    const defaultBudget = { maxAtoms: Math.min(settings.k, m) };
    return { weights, origins, defaultBudget, notes: [] };
  };
}

/** From SAELens 6 on `k`; before, `activation_fn_kwargs.k`. Both may stand there, if they agree. */
function kOf(config: Config, sinceSix: boolean, flags: ImportFlags): Known<number> {
  const kwargs = config.setting("activation_fn_kwargs", null, or(OBJECT, null)).value ?? {};
  const { k: oldK, postact_fn: postActivation, ...others } = kwargs;
  if (postActivation !== undefined && !isRelu(postActivation)) {
    config.fault(
      `activation_fn_kwargs.postact_fn is ${shownJson(postActivation)}; Pursuit's topk applies ReLU. ${decoderAlone("sae.W_dec")}`,
    );
  }
  const unknown = Object.keys(others);
  if (unknown.length > 0) {
    config.fault(
      `activation_fn_kwargs holds ${unknown.slice(0, 8).join(", ")}, which SAELens' topk does not take. Take it out if it plays no part.`,
    );
  }
  const newK = config.get("k");
  const found = [
    ...(newK === undefined ? [] : [{ value: newK, key: "k" }]),
    ...(oldK === undefined || oldK === null ? [] : [{ value: oldK, key: "activation_fn_kwargs.k" }]),
  ];
  // A flag settles it, whatever the file says.
  const settled = flags.maxAtoms !== undefined;
  for (const { value, key } of found) {
    if (!COUNT.test(value) && !settled) config.fault(`${key} is ${shownJson(value)}; it must be ${COUNT.words}.`);
  }
  const [first, second] = found;
  if (second !== undefined && first!.value !== second.value && !settled) {
    config.fault(
      `k is ${shownJson(first!.value)}, activation_fn_kwargs.k ${shownJson(second.value)}. Choose one with --max-atoms <n>.`,
    );
  }
  if (first !== undefined) return { value: first.value as number, from: `${config.file}: ${first.key}` };
  if (sinceSix) return { value: 100, from: "SAELens' default" };
  if (!settled) config.fault("it has neither k nor activation_fn_kwargs.k. Add --max-atoms <n>.");
  return { value: 1, from: "--max-atoms" };
}

/** As Python prints torch.nn.ReLU, a class, an object or a name. */
const isRelu = (value: unknown): boolean =>
  typeof value === "string" && /^(?:torch\.)?(?:nn\.)?relu(?:\(\))?$/i.test(value);
