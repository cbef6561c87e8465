import { encodeModel } from "./encode-model.ts";
import { type ExternalTensor, GraphBuilder } from "./graph-builder.ts";

/** A matrix [m, d] to multiply rows with, and a bias [m] to add. */
export interface DenseWeights {
  readonly m: number;
  readonly d: number;
  readonly atoms: Float32Array;
  readonly bias?: Float32Array;
}

/** One dense pass: rows [n, d] → products [n, m] = rows · atomsᵀ + bias. */
export function buildDenseModel({ atoms, bias, m, d }: DenseWeights): {
  readonly model: Uint8Array;
  readonly external: readonly ExternalTensor[];
} {
  const g = new GraphBuilder("dense");
  const rows = g.input("rows", "float32", ["n", d]);
  const added = bias && g.weights("bias", bias, [m]);
  g.outputAs("products", g.matmulTransposed(rows, g.weights("atoms", atoms, [m, d]), added), "float32", ["n", m]);
  return { model: encodeModel(g.build()), external: g.externalTensors };
}
