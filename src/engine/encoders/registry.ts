import type { TSchema } from "typebox";
import { absTopkSpec } from "./abs-topk.ts";
import { gatedSpec } from "./gated.ts";
import { groupmaxSpec } from "./groupmax.ts";
import { jumpReluSpec } from "./jumprelu.ts";
import type { OnePassSpec } from "./one-pass.ts";
import { matchingPursuitSpec, orthogonalMatchingPursuitSpec } from "./pursuits.ts";
import { reluSpec } from "./relu.ts";
import type { EncoderSpec, TypeBox } from "./spec.ts";
import { topkSpec } from "./topk.ts";

const ONE_PASS: readonly OnePassSpec[] = [reluSpec, jumpReluSpec, gatedSpec, topkSpec, absTopkSpec, groupmaxSpec];

/** Every encoder kind that is served, pursuits first. */
const SPECS: readonly EncoderSpec[] = [matchingPursuitSpec, orthogonalMatchingPursuitSpec, ...ONE_PASS];

export const ENCODER_KINDS: readonly string[] = SPECS.map(({ kind }) => kind);

/** Schemas of the settings of each kind, in the same order. */
export const encoderSchemas = (type: TypeBox): readonly TSchema[] => SPECS.map((spec) => spec.schema(type));

/** The spec of a kind; undefined where no such kind is served. */
export const findSpec = (kind: unknown): EncoderSpec | undefined => SPECS.find((spec) => spec.kind === kind);

/** The spec of a kind that the manifest's schema has accepted. */
export function specOf({ kind }: { readonly kind: string }): EncoderSpec {
  const spec = findSpec(kind);
  if (spec === undefined) throw new Error(`no encoder kind ${kind}; there are ${ENCODER_KINDS.join(", ")}`);
  return spec;
}

/** The spec of a one-pass kind, with its activation rule. */
export function onePassSpecOf({ kind }: { readonly kind: string }): OnePassSpec {
  const spec = ONE_PASS.find((one) => one.kind === kind);
  if (spec === undefined) throw new Error(`${kind} is not a one-pass encoder`);
  return spec;
}
