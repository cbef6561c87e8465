import { atomNorms } from "../../core/atom-norms.ts";
import type { OnePassWeights } from "../../encoders/one-pass.ts";

/**
 * The same codes and reconstructions as scores multiplied by ||D_j|| before the selection and divided by it in decode:
 * the norms go into the encoder, and the atoms become unit atoms.
 */
export function foldNorms<W extends OnePassWeights>(weights: W): W {
  const { d, m } = weights;
  const norms = atomNorms(weights);
  const atoms = weights.atoms.slice();
  const encoderWeight = weights.tensors["encoder_weight"]!.slice();
  const encoderBias = weights.tensors["encoder_bias"]!.slice();
  for (let j = 0; j < m; j++) {
    const norm = norms[j]!;
    // A zero atom scores 0, and so never fires.
    encoderBias[j]! *= norm;
    for (let at = j * d; at < (j + 1) * d; at++) {
      if (norm > 0) atoms[at]! /= norm;
      encoderWeight[at]! *= norm;
    }
  }
  return {
    ...weights,
    atoms,
    tensors: { ...weights.tensors, encoder_weight: encoderWeight, encoder_bias: encoderBias },
  };
}
