import type { Atoms } from "../../dictionary-weights.ts";
import type { OrthogonalRow } from "./orthogonal-row.ts";

/** Once ||r||² has fallen to this share of what it was when the base was taken, the base is taken anew from r. */
const REFRESH = 1e-4;

/**
 * c = D·r of one row after another, by rows of the Gram matrix: c = base − Σ (z_j − z⁰_j)·G_j, where base = D·r⁰ at some
 * earlier solution z⁰, at first 0. Every c is made from its base, so nothing drifts from step to step; its rounding is
 * relative to the base, which is therefore taken anew from x and z when r has become small beside it.
 */
export class Correlations {
  readonly #weights: Atoms;
  readonly #gram: Float32Array;
  readonly #c: Float32Array;
  readonly #fresh: Float32Array;
  #base: Float32Array;
  #baseEnergy = 0;
  #baseCoefficients = new Float64Array();

  /** @param gram [m, m] */
  constructor(weights: Atoms, gram: Float32Array) {
    this.#weights = weights;
    this.#gram = gram;
    this.#c = new Float32Array(weights.m);
    this.#fresh = new Float32Array(weights.m);
    this.#base = this.#fresh;
  }

  /** @param products [m] D·x of the row that begins @param energy its ||x||² */
  start(products: Float32Array, energy: number): void {
    this.#base = products;
    this.#baseEnergy = energy;
    this.#baseCoefficients = new Float64Array();
  }

  /** [m] at the row's present solution; written over by the next call. */
  of({ solution, residual }: OrthogonalRow): Float32Array {
    if (solution.energy < REFRESH * this.#baseEnergy) {
      this.#baseEnergy = solution.residual(residual);
      this.#multiply(residual);
      this.#baseCoefficients = solution.coefficients.slice(0, solution.size);
    }
    const c = this.#c;
    c.set(this.#base);
    for (let k = 0; k < solution.size; k++) {
      const change = solution.coefficients[k]! - (this.#baseCoefficients[k] ?? 0);
      if (change !== 0) this.#subtract(change, solution.selected[k]!);
    }
    return c;
  }

  /** base = D·r */
  #multiply(r: Float64Array): void {
    const { atoms, m, d } = this.#weights;
    for (let j = 0; j < m; j++) {
      let sum = 0;
      for (let i = 0, at = j * d; i < d; i++, at++) sum += atoms[at]! * r[i]!;
      this.#fresh[j] = sum;
    }
    this.#base = this.#fresh;
  }

  #subtract(change: number, j: number): void {
    const c = this.#c;
    const gram = this.#gram;
    for (let i = 0, at = j * c.length; i < c.length; i++, at++) c[i]! -= change * gram[at]!;
  }
}
