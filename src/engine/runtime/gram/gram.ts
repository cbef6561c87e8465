import type { CoherenceFigures, Neighbour } from "../../core/dictionary.ts";
import type { Atoms as Dictionary } from "../../core/dictionary-weights.ts";
import { Coherence } from "./coherence.ts";
import { DensePass } from "../onnx/dense-pass.ts";
import { freeMemory } from "./free-memory.ts";
import type { OnnxSessionOptions } from "../onnx/onnx-session.ts";

type Atoms = Pick<Dictionary, "atoms" | "m" | "d">;

/** Floats of one block of the product: 64 MiB. */
const BLOCK = 1 << 24;

/** G = D·Dᵀ [m, m], computed by the runtime in blocks of rows. */
export async function gramMatrix(weights: Atoms, options: OnnxSessionOptions): Promise<Float32Array> {
  const { atoms, m, d } = weights;
  const dense = await DensePass.create(weights, options);
  try {
    const gram = new Float32Array(m * m);
    const height = Math.max(1, Math.floor(BLOCK / m));
    for (let from = 0; from < m; from += height) {
      const products = await dense.run(atoms.subarray(from * d, Math.min(from + height, m) * d));
      gram.set(products, from * m);
      freeMemory(products);
    }
    return gram;
  } finally {
    await dense.release();
  }
}

export function coherenceOf(norms: Float64Array, gram: Float32Array | null): CoherenceFigures {
  const m = norms.length;
  const coherence = new Coherence(norms);
  if (gram !== null) for (let i = 0; i < m; i++) coherence.add(i, gram.subarray(i * m, (i + 1) * m));
  return coherence.figures(gram !== null);
}

/**
 * Returns the `count` atoms of largest cosine with atom `index`, without itself; ties go to the lower index. Zero atoms
 * have no direction: they have no neighbours and are none.
 */
export function nearestAtoms({ atoms, m, d }: Atoms, norms: Float64Array, index: number, count: number): Neighbour[] {
  const own = atoms.subarray(index * d, (index + 1) * d);
  const all: Neighbour[] = [];
  for (let j = 0; j < m; j++) {
    if (j === index || norms[index] === 0 || norms[j] === 0) continue;
    let product = 0;
    for (let c = 0, at = j * d; c < d; c++, at++) product += own[c]! * atoms[at]!;
    all.push({ index: j, cosine: product / (norms[index]! * norms[j]!) });
  }
  return all.sort((a, b) => b.cosine - a.cosine || a.index - b.index).slice(0, count);
}
