import { onePassSpec, type OnePassSettings } from "../one-pass.ts";
import { oneOf } from "../spec.ts";

export interface JumpReluSettings extends OnePassSettings {
  /** `strict`: h > θ (SAELens, dictionary_learning). `inclusive`: h ≥ θ (overcomplete). */
  readonly comparison: "strict" | "inclusive";
  /** Whether h must be positive, too; default true. `false`: negative values over a negative θ pass (circuit-tracer). */
  readonly rectify?: boolean;
}

/** a = h where h passes the atom's threshold θ_j, else 0. */
export const jumpReluSpec = onePassSpec<JumpReluSettings>({
  kind: "jumprelu",
  schema: (type) => ({
    comparison: oneOf(type, ["strict", "inclusive"]),
    rectify: type.Optional(type.Boolean()),
  }),
  tensors: ({ m }) => ({ encoder_bias: [m], threshold: [m] }),
});
