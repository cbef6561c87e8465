import type { Activation } from "../core/candidate-atoms.ts";
import { createAbsTopkActivation } from "./abs-topk/activation.ts";
import { absTopkReference } from "./abs-topk/reference.ts";
import { createGatedActivation } from "./gated/activation.ts";
import { gatedReference } from "./gated/reference.ts";
import { createGroupmaxActivation } from "./groupmax/activation.ts";
import { groupmaxReference } from "./groupmax/reference.ts";
import { createJumpReluActivation } from "./jumprelu/activation.ts";
import { jumpReluReference } from "./jumprelu/reference.ts";
import type { OnePassSettings, OnePassWeights } from "./one-pass.ts";
import type { Reference } from "./reference.ts";
import { createReluActivation } from "./relu/activation.ts";
import { reluReference } from "./relu/reference.ts";
import { createTopkActivation } from "./topk/activation.ts";
import { topkReference } from "./topk/reference.ts";

/** Both forms of a one-pass kind's activation. Methods, so that each kind may name its own settings. */
interface OnePassRule<S extends OnePassSettings = OnePassSettings> {
  /** As it is served, in float32. @param norms [m] ||D_j|| as stored */
  create(this: void, weights: OnePassWeights<S>, norms: Float64Array): Activation;
  /** In float64, to compare with. */
  reference(this: void, ...row: Parameters<Reference<S>>): ReturnType<Reference<S>>;
}

const RULES: Readonly<Record<string, OnePassRule>> = {
  relu: { create: createReluActivation, reference: reluReference },
  jumprelu: { create: createJumpReluActivation, reference: jumpReluReference },
  gated: { create: createGatedActivation, reference: gatedReference },
  topk: { create: createTopkActivation, reference: topkReference },
  abs_topk: { create: createAbsTopkActivation, reference: absTopkReference },
  groupmax: { create: createGroupmaxActivation, reference: groupmaxReference },
};

/** The activation rule of a one-pass kind. */
export function onePassRule({ kind }: { readonly kind: string }): OnePassRule {
  const rule = RULES[kind];
  if (rule === undefined) throw new Error(`${kind} is not a one-pass encoder`);
  return rule;
}
