import { knownNorms } from "../../core/dictionary-weights.ts";
import { decidedCode } from "../../encoders/blocks.ts";
import type { OnePassWeights } from "../../encoders/one-pass.ts";
import type { Verdict } from "./compare-code.ts";
import { pursuitStart, type ServedCode } from "./step-margins.ts";

/** Allowed relative difference of two values of one atom, and of two contributions in either order. */
const TOLERANCE = 1e-5;

/**
 * Compares a served code of a one-pass encoder with a user's dense code of the same row (docs/algorithm.md, Agreement):
 * the same active atoms with the same values, except where float32 cannot decide an atom's side of its limit.
 * @param x [d], as posted. @param z [m]
 */
export function compareOnePass(served: ServedCode, x: Float32Array, z: Float32Array, weights: OnePassWeights): Verdict {
  const { settings } = weights;
  const input = pursuitStart(x, served, settings.subtractCenter ? weights : { ...weights, center: null });
  const reference = decidedCode(input, weights);
  const merged = new Map<number, number>();
  for (let k = 0; k < served.indices.length; k++) merged.set(served.indices[k]!, served.values[k]!);
  let largest = 0;
  for (const value of [...merged.values(), ...z]) largest = Math.max(largest, Math.abs(value));

  const norms = knownNorms(weights);
  const cut = cutContribution(served, norms);
  const undecided = (j: number): boolean => {
    if (reference.undecided[j]) return true;
    if (cut === null) return false;
    const contribution = Math.abs(z[j] || (merged.get(j) ?? 0)) * norms[j]!;
    return Math.abs(contribution - cut) <= TOLERANCE * cut;
  };
  let worst = 0;
  let parted: number | null = null;
  let differs: number | null = null;
  for (let j = 0; j < z.length; j++) {
    const apart = Math.abs((merged.get(j) ?? 0) - z[j]!);
    if (apart <= Math.max(TOLERANCE * largest, reference.errors[j]!)) {
      worst = Math.max(worst, largest === 0 ? 0 : apart / largest);
    } else if (undecided(j)) parted ??= j;
    else differs ??= j;
  }
  const atom = differs ?? parted;
  if (atom === null) return { kind: "agreed", worst };
  const position = Array.prototype.indexOf.call(served.trace.indices, atom);
  const step = (position < 0 ? served.trace.indices.length : position) + 1;
  return {
    kind: differs === null ? "undecided" : "differs",
    worst,
    at: { step, atom, served: merged.get(atom) ?? 0, theirs: z[atom]! },
    undecidedStep: null,
  };
}

/** Contribution of the last atom of a code that its budget cut short; null if the code is whole. */
function cutContribution({ stop, trace }: ServedCode, norms: Float64Array): number | null {
  const last = trace.indices.length - 1;
  if (stop !== "max_atoms" || last < 0) return null;
  return Math.abs(trace.values[last]!) * norms[trace.indices[last]!]!;
}
