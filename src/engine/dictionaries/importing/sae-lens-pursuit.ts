import type { TensorFile } from "../formats/tensor-file.ts";
import type { ImportFlags } from "./import-flags.ts";
import { BOOLEAN, type Config, COUNT, NUMBER, or } from "./read-config.ts";
import type { SaeLensCommon, SaeLensRead } from "./sae-lens.ts";
import { pursuitOf, settle } from "./understood.ts";

/** W_dec [d_sae, d_in] and b_dec [d_in] (MatchingPursuitSAEConfig). */
export function readPursuit(
  config: Config,
  common: SaeLensCommon,
  flags: ImportFlags,
): (file: TensorFile) => Promise<SaeLensRead> {
  const { d, m, subtractsBias, inputNorm } = common;
  const stops = config.setting("stop_on_duplicate_support", true, BOOLEAN);
  const cap = config.setting("max_iterations", null, or(COUNT, null));
  const threshold = config.setting("residual_threshold", 1e-2, NUMBER);
  const settings = settle(
    config.file,
    {
      score: { value: "relu", from: "SAELens' matching_pursuit" },
      reselect: {
        value: stops.value ? "stop" : "add",
        from: `${stops.from}: stop_on_duplicate_support ${stops.value}`,
      },
      center: subtractsBias,
      // Off at 0 and below.
      residualThreshold: { ...threshold, value: Math.max(0, threshold.value) },
      maxAtoms: cap.value === null ? { value: d, from: `${cap.from}: max_iterations null, so d_in` } : cap,
      inputNorm,
    },
    flags,
  );
  return async (file) => {
    await common.checkTensors(file, { W_dec: [m, d], b_dec: [d] });
    const atoms = await file.readFloats("W_dec");
    const center = settings.center.value ? await file.readFloats("b_dec") : null;
    return {
      ...pursuitOf({ d, m, atoms, center }, settings),
      ...(cap.value !== null && {
        defaultBudget: { maxAtoms: Math.min(cap.value, settings.maxAtoms.value ?? cap.value) },
      }),
      notes: center ? [] : ["b_dec is left out: it is neither subtracted nor added back."],
    };
  };
}
