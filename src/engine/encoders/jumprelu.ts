import { onePassSpec, type OnePassSettings } from "./one-pass.ts";
import { oneOf } from "./spec.ts";

export interface JumpReluSettings extends OnePassSettings {
  /** `strict`: h > θ (SAELens, dictionary_learning). `inclusive`: h ≥ θ (overcomplete). */
  readonly comparison: "strict" | "inclusive";
  /** Whether h must be positive, too; default true. `false`: negative values over a negative θ pass (circuit-tracer). */
  readonly rectify?: boolean;
}

/** a = h where h passes the atom's threshold θ_j, else 0. Undecided at θ_j, and at 0 where h must be positive. */
export const jumpReluSpec = onePassSpec<JumpReluSettings>({
  kind: "jumprelu",
  schema: (type) => ({
    comparison: oneOf(type, ["strict", "inclusive"]),
    rectify: type.Optional(type.Boolean()),
  }),
  tensors: ({ m }) => ({ encoder_bias: [m], threshold: [m] }),
  activation: ({ settings, tensors }) => ({
    screen: { by: "limit", limits: strictLimits(tensors["threshold"]!, settings) },
    value: (h) => h,
  }),
  reference: ({ h, weights: { settings, tensors } }) => {
    const threshold = tensors["threshold"]!;
    const { comparison, rectify = true } = settings;
    const passes = (value: number, j: number): boolean =>
      (comparison === "strict" ? value > threshold[j]! : value >= threshold[j]!) && (value > 0 || !rectify);
    return {
      values: h.map((value, j) => (passes(value, j) ? value : 0)),
      margins: h.map((value, j) => Math.min(Math.abs(value - threshold[j]!), rectify ? Math.abs(value) : Infinity)),
    };
  },
});

/** [m] the numbers that h_j must exceed: one comparison an atom, whatever the settings. */
function strictLimits(threshold: Float32Array, { comparison, rectify = true }: JumpReluSettings): Float32Array {
  return threshold.map((limit) => {
    const strict = comparison === "strict" ? limit : below(limit);
    return rectify ? Math.max(strict, 0) : strict;
  });
}

const float = new Float32Array(1);
const bits = new Int32Array(float.buffer);

/** The largest float32 under a value. */
function below(value: number): number {
  float[0] = value;
  if (float[0] === 0) return -(2 ** -149);
  bits[0]! += float[0] > 0 ? -1 : 1;
  return float[0];
}
