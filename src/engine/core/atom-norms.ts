import type { Atoms } from "./dictionary-weights.ts";

/** ||D_j|| of every atom, in float64. */
export function atomNorms({ atoms, m, d }: Pick<Atoms, "atoms" | "m" | "d">): Float64Array {
  const norms = new Float64Array(m);
  for (let j = 0; j < m; j++) {
    let squares = 0;
    for (let i = j * d; i < (j + 1) * d; i++) squares += atoms[i]! * atoms[i]!;
    norms[j] = Math.sqrt(squares);
  }
  return norms;
}

const known = new WeakMap<Float32Array, Float64Array>();

/** The same, computed once for a matrix that several rows are compared by. */
export function knownNorms(matrix: Pick<Atoms, "atoms" | "m" | "d">): Float64Array {
  let norms = known.get(matrix.atoms);
  if (norms === undefined) known.set(matrix.atoms, (norms = atomNorms(matrix)));
  return norms;
}
