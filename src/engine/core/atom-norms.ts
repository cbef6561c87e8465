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
