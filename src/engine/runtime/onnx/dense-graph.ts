import { encodeModel } from "./encode-model.ts";
import { type ExternalTensor, GraphBuilder } from "./graph-builder.ts";

/** One dense pass: rows [n, d] → products [n, m] = rows · atomsᵀ. */
export function buildDenseModel({
  atoms,
  m,
  d,
}: {
  readonly atoms: Float32Array;
  readonly m: number;
  readonly d: number;
}): {
  readonly model: Uint8Array;
  readonly external: readonly ExternalTensor[];
} {
  const g = new GraphBuilder("dense");
  const rows = g.input("rows", "float32", ["n", d]);
  g.outputAs("products", g.matmulTransposed(rows, g.weights("atoms", atoms, [m, d])), "float32", ["n", m]);
  return { model: encodeModel(g.build()), external: g.externalTensors };
}
