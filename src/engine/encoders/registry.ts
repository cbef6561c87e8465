import type { TSchema } from "typebox";
import { absTopkSpec } from "./abs-topk/spec.ts";
import { gatedSpec } from "./gated/spec.ts";
import { groupmaxSpec } from "./groupmax/spec.ts";
import { jumpReluSpec } from "./jumprelu/spec.ts";
import { matchingPursuitSpec } from "./matching-pursuit/spec.ts";
import { orthogonalMatchingPursuitSpec } from "./orthogonal-matching-pursuit/spec.ts";
import { reluSpec } from "./relu/spec.ts";
import type { EncoderSpec, TypeBox } from "./spec.ts";
import { topkSpec } from "./topk/spec.ts";

/** Every encoder kind that is served, the project's own first. */
const SPECS: readonly EncoderSpec[] = [
  matchingPursuitSpec,
  orthogonalMatchingPursuitSpec,
  reluSpec,
  jumpReluSpec,
  gatedSpec,
  topkSpec,
  absTopkSpec,
  groupmaxSpec,
];

export const ENCODER_KINDS: readonly string[] = SPECS.map(({ kind }) => kind);

/** Schemas of the settings of each kind, in the same order. */
export const encoderSchemas = (type: TypeBox): readonly TSchema[] => SPECS.map((spec) => spec.schema(type));

/** The spec of a kind; undefined where no such kind is served. */
export const findSpec = (kind: unknown): EncoderSpec | undefined => SPECS.find((spec) => spec.kind === kind);

/** The same of a kind that a manifest has passed with. */
export function specOf({ kind }: { readonly kind: string }): EncoderSpec {
  const spec = findSpec(kind);
  if (spec === undefined) throw new Error(`no encoder kind ${kind}; there are ${ENCODER_KINDS.join(", ")}`);
  return spec;
}
