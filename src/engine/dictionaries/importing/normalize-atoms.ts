import type { Normalization } from "./import-flags.ts";

/** Added to a row's norm before dividing by it, as overcomplete does. */
const EPSILON = 1e-8;

/** overcomplete's normalisation of a dictionary [m, d], a copy; norms summed in float64, results rounded to float32. */
export function normalizeAtoms(atoms: Float32Array, d: number, normalization: Normalization): Float32Array {
  if (normalization === "identity") return atoms.slice();
  const squared = normalization === "l2" || normalization === "max_l2";
  const m = atoms.length / d;
  const norms = Float32Array.from({ length: m }, (_, j) => {
    let sum = 0;
    for (let i = j * d; i < (j + 1) * d; i++) sum += squared ? atoms[i]! ** 2 : Math.abs(atoms[i]!);
    return squared ? Math.sqrt(sum) : sum;
  });
  const largest = norms.reduce((most, norm) => Math.max(most, norm), 0);
  const whole = normalization === "max_l2" || normalization === "max_l1";
  return atoms.map((value, i) => value / (whole ? largest : Math.fround(norms[Math.floor(i / d)]! + EPSILON)));
}
