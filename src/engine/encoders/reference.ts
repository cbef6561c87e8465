import { knownNorms } from "../core/dictionary-weights.ts";
import type { OnePassSettings, OnePassSpec, OnePassWeights } from "./one-pass.ts";

/** The k largest scores (lower index first on a tie), and each score's distance from the other side of the limit. */
export function selectionMargins(
  scores: Float64Array,
  k: number,
): { readonly selected: readonly boolean[]; readonly margins: Float64Array } {
  const order = Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]! || a - b);
  const last = scores[order[k - 1]!]!;
  const next = order.length > k ? scores[order[k]!]! : -Infinity;
  const selected = Array.from(scores, () => false);
  for (const j of order.slice(0, k)) selected[j] = true;
  return { selected, margins: scores.map((score, j) => (selected[j] ? score - next : last - score)) };
}

/** A row's code in float64, with what float32 may miss of it. */
export interface DecidedCode {
  /** [m] activations, 0 where inactive */
  readonly values: Float64Array;
  /** [m] by how much float32 may miss the score */
  readonly errors: Float64Array;
  /** [m] whether the score is so close to its limit that float32 may end on the other side */
  readonly undecided: readonly boolean[];
}

/**
 * Encodes one row in float64 and says by how much float32 may miss each score (docs/algorithm.md, Agreement).
 * @param input [d] normed, and centred where the encoder wants it
 */
export function referenceCode<S extends OnePassSettings>(
  input: ArrayLike<number>,
  weights: OnePassWeights<S>,
  reference: OnePassSpec<S>["reference"],
): DecidedCode {
  const { dIn: d, m, tensors } = weights;
  const weight = tensors["encoder_weight"]!;
  const bias = tensors["encoder_bias"];
  const h = new Float64Array(m);
  for (let j = 0; j < m; j++) {
    for (let c = 0, at = j * d; c < d; c++, at++) h[j]! += weight[at]! * input[c]!;
    h[j]! += bias?.[j] ?? 0;
  }
  const largest = h.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  let inputNorm = 0;
  for (let c = 0; c < d; c++) inputNorm += input[c]! ** 2;
  inputNorm = Math.sqrt(inputNorm);
  const code = reference({ h, norms: knownNorms(weights), weights });
  const errors = knownNorms({ atoms: weight, m, d }).map(
    (norm, j) => (1e-5 * largest + 2 ** -23 * Math.sqrt(d) * norm * inputNorm) * (code.scale?.[j] ?? 1),
  );
  // Where there is no error, there is no doubt: a zero atom's scaled score is exactly 0.
  const undecided = Array.from(errors, (error, j) => error > 0 && code.margins[j]! <= error);
  return { values: code.values, errors, undecided };
}
