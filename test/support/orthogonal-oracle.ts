/**
 * Orthogonal matching pursuit of docs/algorithm.md in float64, without optimisations and without code of the engine.
 * Least squares orthogonalises each atom twice; non-negative least squares is Lawson and Hanson's algorithm, from zero
 * at every step. It also finds the first undecided step.
 */
import type { Budget } from "../../src/engine/core/budget.ts";
import type { OrthogonalWeights } from "../../src/engine/core/dictionary-weights.ts";
import type { StopReason } from "../../src/engine/core/sparse-codes.ts";
import type { OraclePursuit } from "./oracle.ts";

export interface OrthogonalOracle extends OraclePursuit {
  /** Coefficients at the end, in order of selection. */
  readonly coefficients: readonly number[];
}

/** Encodes one row in pursuit space, before b is subtracted. */
export function orthogonalOracle(
  x: ArrayLike<number>,
  weights: Pick<OrthogonalWeights, "atoms" | "center" | "d" | "m" | "settings">,
  budget: Budget & { readonly maxAtoms: number },
): OrthogonalOracle {
  const { atoms, center, d, m, settings } = weights;
  const { tolerance = 0, residualNorm = 0, minGain = 0, maxAtoms } = budget;
  const { score, rawScores, residualThreshold } = settings;
  const start = Float64Array.from({ length: d }, (_, i) => (center ? Math.fround(x[i]! - center[i]!) : x[i]!));
  const atom = (j: number): Float64Array => new Float64Array(atoms.subarray(j * d, (j + 1) * d));
  const lengths = Float64Array.from({ length: m }, (_, j) => length(atom(j)));
  const norm = length(start);
  const largest = rawScores ? lengths.reduce((a, b) => Math.max(a, b), 0) : 1;
  const indices: number[] = [];
  const values: number[] = [];
  const norms: number[] = [];
  let coefficients: number[] = [];
  let r: Float64Array = start;
  /** The orthogonal part of each selected atom. */
  const basis: Float64Array[] = [];
  let margin = 1e-6 * norm * largest;
  let decided = Infinity;
  const close = (a: number, b: number): boolean => Math.abs(a - b) <= margin;
  const doubt = (selections: number): void => {
    decided = Math.min(decided, selections);
  };

  const stop = ((): StopReason => {
    for (;;) {
      const k = indices.length;
      const left = length(r);
      if (left > 0 && left < 1e-3 * norm) doubt(k);
      if (tolerance > 0 && left > 0 && close(left, tolerance * norm)) doubt(k);
      if (tolerance > 0 && left <= tolerance * norm) return "tolerance";
      if (residualNorm > 0 && left > 0 && close(left, residualNorm)) doubt(k);
      if (residualNorm > 0 && left <= residualNorm) return "residual_norm";
      if (k >= maxAtoms) return "max_atoms";
      if (left <= 2 ** -23 * norm) return "no_gain";

      let best = -Infinity;
      let second = -Infinity;
      let j = -1;
      for (let i = 0; i < m; i++) {
        if (indices.includes(i)) continue;
        let product = 0;
        for (let c = 0, at = i * d; c < d; c++, at++) product += r[c]! * atoms[at]!;
        if (!rawScores && lengths[i]! > 0) product /= lengths[i]!;
        const s = score === "absolute" ? Math.abs(product) : product;
        if (s > best) {
          second = best;
          best = s;
          j = i;
        } else if (s > second) second = s;
      }
      if (j < 0) return "no_gain";
      if (k === 0) margin = Math.max(margin, 1e-5 * Math.abs(best));
      if (close(best, 0) || (best > -margin && close(best, second))) doubt(k);
      if (!(best > 0)) return "no_gain";

      const support = score === "relu" ? indices.filter((_, i) => coefficients[i]! > 0) : indices;
      const free = orthogonalised(atom(j), score === "relu" ? support.map(atom) : basis, score !== "relu");
      const pivot = length(free) / lengths[j]!;
      if (Math.abs(pivot - 1e-3) < 1e-6) doubt(k);
      if (pivot ** 2 < 1e-6) return "dependent";
      const chosen = [...indices, j];
      let next: Float64Array;
      let solved: number[];
      if (score === "relu") {
        solved = nnls(chosen.map(atom), start);
        next = subtract(start, chosen.map(atom), solved);
      } else {
        // The newest coefficient is r's component along its atom's orthogonal part; the others are solved for at the
        // end.
        const along = dot(free, r) / dot(free, free);
        solved = [...chosen.slice(0, -1).map(() => Number.NaN), along];
        next = orthogonalised(subtract(r, [free], [along]), [...basis, free], true);
      }
      const after = length(next);
      if (minGain > 0) {
        const gain = left ** 2 - after ** 2;
        if (close(Math.sqrt(Math.max(gain, 0)), Math.sqrt(minGain) * norm)) doubt(k);
        if (gain < minGain * norm ** 2) return "min_gain";
      }
      basis.push(free);
      indices.push(j);
      coefficients = solved;
      r = next;
      values.push(solved.at(-1)!);
      norms.push(after);
      if (residualThreshold > 0) {
        if (close(after, residualThreshold)) doubt(k + 1);
        if (after < residualThreshold) return "residual_norm";
      }
    }
  })();

  if (score === "absolute") coefficients = leastSquares(indices.map(atom), start);
  return {
    indices,
    values,
    norms,
    stop,
    coefficients,
    residualNorm: length(r),
    norm,
    decided: Math.min(decided, indices.length),
    allDecided: decided === Infinity,
  };
}

/** min ||x − Σ z_j a_j||: orthogonalises the atoms one after another, each twice. */
export function leastSquares(atoms: readonly Float64Array[], x: Float64Array): number[] {
  const basis: Float64Array[] = [];
  for (const a of atoms) basis.push(orthogonalised(a, basis, true));
  const z = Array.from({ length: atoms.length }, () => 0);
  let left: Float64Array = x;
  // R·z = Qᵀx, from the last row up.
  for (let k = atoms.length - 1; k >= 0; k--) {
    z[k] = dot(basis[k]!, left) / dot(basis[k]!, atoms[k]!);
    left = subtract(left, [atoms[k]!], [z[k]!]);
  }
  return z;
}

/**
 * min ||x − Σ z_j a_j|| with every z_j ≥ 0 (Lawson and Hanson, Solving Least Squares Problems, algorithm NNLS, from
 * zero).
 */
export function nnls(atoms: readonly Float64Array[], x: Float64Array): number[] {
  let z = atoms.map(() => 0);
  const passive = new Set<number>();
  for (let turn = 0; turn < 50 * atoms.length; turn++) {
    const r = subtract(x, atoms, z);
    const slopes = atoms.map((a, i) => (passive.has(i) ? -Infinity : dot(a, r) / length(a)));
    const best = slopes.reduce((most, slope, i) => (slope > slopes[most]! ? i : most), 0);
    if (!(slopes[best]! > 1e-11 * length(x))) return z;
    passive.add(best);
    for (;;) {
      const free = [...passive].toSorted((a, b) => a - b);
      const solved = leastSquares(
        free.map((i) => atoms[i]!),
        x,
      );
      if (solved.every((value) => value > 0)) {
        z = z.map((_, i) => (passive.has(i) ? solved[free.indexOf(i)]! : 0));
        break;
      }
      let step = 1;
      for (const [k, i] of free.entries()) {
        if (solved[k]! <= 0) step = Math.min(step, z[i]! / (z[i]! - solved[k]! || 1));
      }
      for (const [k, i] of free.entries()) {
        z[i]! += step * (solved[k]! - z[i]!);
        if (solved[k]! <= 0 && z[i]! <= 1e-14 * length(x)) {
          z[i] = 0;
          passive.delete(i);
        }
      }
    }
  }
  throw new Error("non-negative least squares did not end");
}

/** Returns the part of a vector that is orthogonal to others, which are orthogonalised first unless they are so. */
export function orthogonalised(a: Float64Array, others: readonly Float64Array[], orthogonal = false): Float64Array {
  const basis: Float64Array[] = [];
  if (!orthogonal) for (const other of others) basis.push(orthogonalised(other, basis, true));
  const left = a.slice();
  for (let pass = 0; pass < 2; pass++) {
    for (const b of orthogonal ? others : basis) {
      const along = dot(b, left) / dot(b, b);
      for (let c = 0; c < left.length; c++) left[c]! -= along * b[c]!;
    }
  }
  return left;
}

function subtract(x: Float64Array, atoms: readonly Float64Array[], z: readonly number[]): Float64Array {
  const r = x.slice();
  for (const [k, a] of atoms.entries()) for (let i = 0; i < r.length; i++) r[i]! -= z[k]! * a[i]!;
  return r;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

const length = (a: Float64Array): number => Math.sqrt(dot(a, a));
