import type { TopkWeights } from "../../core/dictionary-weights.ts";
import { encodeModel } from "./encode-model.ts";
import { type ExternalTensor, GraphBuilder } from "./graph-builder.ts";

/**
 * One pass of a TopK encoder: the k largest of relu(W·x + bias).
 *
 * Inputs:
 *   x [n, d]        the rows, normed, and centred where the encoder wants it
 *   k [1]           int64, entries of each row at most, 1 to m
 * Outputs, largest first, the lowest atom first on a tie; 0 where a row has fewer positive entries than k:
 *   values [n, k]
 *   indices [n, k]  int64
 */
export function buildTopkModel({ d, m, encoderWeight, encoderBias }: TopkWeights): {
  readonly model: Uint8Array;
  readonly external: readonly ExternalTensor[];
} {
  const g = new GraphBuilder("topk");
  const x = g.input("x", "float32", ["n", d]);
  const k = g.input("k", "int64", [1]);
  const weight = g.weights("encoder_weight", encoderWeight, [m, d]);
  const bias = g.weights("encoder_bias", encoderBias, [m]);
  const [values, indices] = g.kLargest(g.relu(g.matmulTransposed(x, weight, bias)), k);
  g.outputAs("values", values, "float32", ["n", "k"]);
  g.outputAs("indices", indices, "int64", ["n", "k"]);
  return { model: encodeModel(g.build()), external: g.externalTensors };
}
