import { orthogonalSettings, type PursuitChoice } from "../../core/dictionary.ts";
import type { DictionaryWeights } from "../../core/dictionary-weights.ts";
import type { DecoderPursuit } from "../../encoders/decoder-pursuit.ts";
import { compareCode, type Verdict } from "./compare-code.ts";
import type { ServedCode } from "./step-margins.ts";

/**
 * Compares codes of a pursuit over a decoder like {@link compareCode}, after scaling both to the unit atoms of the
 * selection.
 * @param x [d], as posted. @param z [m] in the dictionary's own scale
 */
export function compareOverDecoder(
  served: ServedCode,
  x: Float32Array,
  z: Float32Array,
  { weights, features, norms }: DecoderPursuit,
  pursuit: PursuitChoice,
): Verdict {
  const position = new Map(Array.from(features, (feature, i) => [feature, i]));
  const zero = z.findIndex((value, j) => value !== 0 && !position.has(j));
  if (zero >= 0) {
    const at = { step: served.trace.indices.length + 1, atom: zero, served: 0, theirs: z[zero]! };
    return { kind: "differs", worst: 1, at, undecidedStep: null };
  }
  const scaled = (code: { readonly indices: ArrayLike<number>; readonly values: ArrayLike<number> }) => {
    const indices = Array.from(code.indices, (feature) => position.get(feature)!);
    return { indices, values: indices.map((i, k) => code.values[k]! * norms[i]!) };
  };
  const verdict = compareCode(
    { ...served, ...scaled(served), trace: scaled(served.trace) },
    x,
    Float32Array.from(features, (feature, i) => z[feature]! * norms[i]!),
    comparedAs(weights, pursuit),
  );
  if (verdict.kind === "agreed") return verdict;
  return { ...verdict, at: { ...verdict.at, atom: features[verdict.at.atom]! } };
}

function comparedAs(weights: DecoderPursuit["weights"], pursuit: PursuitChoice): DictionaryWeights {
  const { settings } = weights;
  if (pursuit.kind === "matching_pursuit") return { ...weights, settings: { ...settings, ...pursuit } };
  return { ...weights, kind: "orthogonal_matching_pursuit", settings: orthogonalSettings(settings, pursuit.score) };
}
