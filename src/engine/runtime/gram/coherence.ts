import type { CoherenceFigures } from "../../core/dictionary.ts";

/** Finds the largest |cosine| between two different atoms, from the rows of the Gram matrix as they are computed. */
export class Coherence {
  readonly #norms: Float64Array;
  /** [m] 1 / ||D_j||; 0 for a zero atom, which has no direction. */
  readonly #inverse: Float64Array;
  #largest = 0;

  /** @param norms [m] norms of the atoms */
  constructor(norms: Float64Array) {
    this.#norms = norms;
    this.#inverse = norms.map((norm) => (norm > 0 ? 1 / norm : 0));
  }

  /** Adds row i of the matrix, [m]. */
  add(i: number, row: Float32Array): void {
    const inverse = this.#inverse;
    let largest = 0;
    for (let j = i + 1; j < row.length; j++) {
      const share = Math.abs(row[j]!) * inverse[j]!;
      if (share > largest) largest = share;
    }
    this.#largest = Math.max(this.#largest, largest * inverse[i]!);
  }

  /** @param complete whether every row was added; otherwise the largest cosine is unknown */
  figures(complete: boolean): CoherenceFigures {
    return {
      maxCosine: complete && this.#norms.length > 1 ? Math.min(this.#largest, 1) : null,
      minNorm: this.#norms.reduce((least, norm) => Math.min(least, norm), Infinity),
      maxNorm: this.#norms.reduce((most, norm) => Math.max(most, norm), 0),
    };
  }
}
