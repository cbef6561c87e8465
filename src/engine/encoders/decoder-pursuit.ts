import type { EncoderSettings, PursuitSettings } from "../core/dictionary.ts";
import { atomNorms, type DictionaryWeights, type PursuitWeights } from "../core/dictionary-weights.ts";
import type { ScaledSettings } from "./one-pass.ts";

/** Pursuit over the decoder of a dictionary of any kind (docs/pursuit-over-decoder.md). */
export interface DecoderPursuit {
  /** Atoms of unit norm, without the zero atoms of the dictionary. */
  readonly weights: PursuitWeights;
  /** [weights.m] the dictionary's index of each atom, ascending. */
  readonly features: Uint32Array;
  /** [weights.m] Divide a coefficient of the unit atom by this to get the dictionary's own scale. */
  readonly norms: Float64Array;
}

/** Starts from norm(x) − b wherever decode adds b. Score and reselect hold for batches that name none. */
export const decoderSettings = ({ center, inputNorm }: EncoderSettings): PursuitSettings => ({
  center,
  inputNorm,
  score: "relu",
  reselect: "add",
  residualThreshold: 0,
  maxAtoms: null,
});

/** Norms the atoms that decode uses, and leaves out zero atoms: they are never candidates. */
export function decoderPursuit(given: DictionaryWeights): DecoderPursuit {
  const { m, d, atoms, center, settings } = given;
  const norms = atomNorms({ atoms, m, d });
  const features = Uint32Array.from(norms.keys()).filter((j) => norms[j]! > 0);
  const unit = new Float32Array(features.length * d);
  for (const [i, j] of features.entries()) {
    for (let c = 0; c < d; c++) unit[i * d + c] = atoms[j * d + c]! / norms[j]!;
  }
  // Decode of such a dictionary uses unit atoms already.
  const scaled = (settings as Partial<ScaledSettings>).scaleByDecoderNorm === true;
  return {
    weights: {
      kind: "matching_pursuit",
      d,
      m: features.length,
      atoms: unit,
      center,
      settings: decoderSettings(settings),
    },
    features,
    norms: Float64Array.from(features, (j) => (scaled ? 1 : norms[j]!)),
  };
}
