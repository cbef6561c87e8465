import { Tensor } from "onnxruntime-node";
import type { CoherenceFigures, Neighbour } from "../../engine.ts";
import type { Atoms as Dictionary } from "../../dictionary-weights.ts";
import { encodeModel } from "../graph/encode-model.ts";
import { GraphBuilder } from "../graph/graph-builder.ts";
import { createOnnxSession, type OnnxSessionOptions } from "./onnx-session.ts";

type Atoms = Pick<Dictionary, "atoms" | "m" | "d">;

/** Floats of one block of the product: 64 MiB. */
const BLOCK = 1 << 24;

/** G = D·Dᵀ [m, m], by blocks of rows through the runtime's matrix product. */
export async function gramMatrix({ atoms, m, d }: Atoms, options: OnnxSessionOptions): Promise<Float32Array> {
  const g = new GraphBuilder("gram");
  const rows = g.input("rows", "float32", ["n", d]);
  g.outputAs("products", g.matmulTransposed(rows, g.weights("atoms", atoms, [m, d])), "float32", ["n", m]);
  const session = await createOnnxSession({ model: encodeModel(g.build()), external: g.externalTensors }, options);
  try {
    const gram = new Float32Array(m * m);
    const height = Math.max(1, Math.floor(BLOCK / m));
    for (let from = 0; from < m; from += height) {
      const to = Math.min(from + height, m);
      const block = atoms.subarray(from * d, to * d);
      const { products } = await session.run({ rows: new Tensor("float32", block, [to - from, d]) });
      gram.set(products!.data as Float32Array, from * m);
    }
    return gram;
  } finally {
    await session.release();
  }
}

export function coherenceOf(norms: Float64Array, gram: Float32Array | null): CoherenceFigures {
  const m = norms.length;
  let maxCosine = 0;
  if (gram !== null) {
    for (let i = 0; i < m; i++) {
      for (let j = i + 1; j < m; j++)
        maxCosine = Math.max(maxCosine, Math.abs(gram[i * m + j]!) / (norms[i]! * norms[j]!));
    }
  }
  return {
    maxCosine: gram === null || m === 1 ? null : Math.min(maxCosine, 1),
    minNorm: norms.reduce((least, norm) => Math.min(least, norm), Infinity),
    maxNorm: norms.reduce((most, norm) => Math.max(most, norm), 0),
  };
}

/** The `count` atoms of largest cosine with atom `index`, itself left out; ties go to the lower number. */
export function nearestAtoms({ atoms, m, d }: Atoms, norms: Float64Array, index: number, count: number): Neighbour[] {
  const own = atoms.subarray(index * d, (index + 1) * d);
  const all: Neighbour[] = [];
  for (let j = 0; j < m; j++) {
    if (j === index) continue;
    let product = 0;
    for (let c = 0, at = j * d; c < d; c++, at++) product += own[c]! * atoms[at]!;
    all.push({ index: j, cosine: product / (norms[index]! * norms[j]!) });
  }
  return all.sort((a, b) => b.cosine - a.cosine || a.index - b.index).slice(0, count);
}
