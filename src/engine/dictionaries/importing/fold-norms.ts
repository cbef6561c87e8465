import { atomNorms } from "../../core/atom-norms.ts";
import type { TopkWeights } from "../../core/dictionary-weights.ts";

/**
 * The same codes and reconstructions as scores multiplied by ||D_j|| before the selection and divided by it in decode:
 * the norms go into the encoder, and the atoms become unit atoms.
 */
export function foldNorms(weights: TopkWeights): TopkWeights {
  const { d, m } = weights;
  const norms = atomNorms(weights);
  const atoms = weights.atoms.slice();
  const encoderWeight = weights.encoderWeight.slice();
  const encoderBias = weights.encoderBias.slice();
  for (let j = 0; j < m; j++) {
    const norm = norms[j]!;
    // A zero atom stays one, and is refused by name with the others.
    if (norm === 0) continue;
    encoderBias[j]! *= norm;
    for (let at = j * d; at < (j + 1) * d; at++) {
      atoms[at]! /= norm;
      encoderWeight[at]! *= norm;
    }
  }
  return { ...weights, atoms, encoderWeight, encoderBias };
}
