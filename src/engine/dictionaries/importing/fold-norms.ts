import { atomNorms } from "../../core/dictionary-weights.ts";
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

/**
 * The same codes of rows as they come as of rows that are multiplied by `factor` first, and the same reconstructions divided by it
 * (SAELens' fold_activation_norm_scaling_factor). Biases and thresholds of atoms stay.
 */
export function foldFactor<W extends OnePassWeights>(weights: W, factor: number): W {
  const { atoms, center, tensors } = weights;
  return {
    ...weights,
    atoms: atoms.map((value) => value / factor),
    center: center && center.map((value) => value / factor),
    tensors: { ...tensors, encoder_weight: tensors["encoder_weight"]!.map((value) => value * factor) },
  };
}
