import type { CoherenceFigures } from "../../engine.ts";

/** Largest |cosine| between two different atoms, from the rows of the Gram matrix as they come about. */
export class Coherence {
  readonly #norms: Float64Array;
  #largest = 0;

  /** @param norms [m] of the atoms */
  constructor(norms: Float64Array) {
    this.#norms = norms;
  }

  /** Row i of the matrix, [m]. */
  add(i: number, row: Float32Array): void {
    const own = this.#norms[i]!;
    for (let j = i + 1; j < row.length; j++) {
      const cosine = Math.abs(row[j]!) / (own * this.#norms[j]!);
      if (cosine > this.#largest) this.#largest = cosine;
    }
  }

  /** @param complete whether every row was added: until then the largest cosine is not known. */
  figures(complete: boolean): CoherenceFigures {
    return {
      maxCosine: complete && this.#norms.length > 1 ? Math.min(this.#largest, 1) : null,
      minNorm: this.#norms.reduce((least, norm) => Math.min(least, norm), Infinity),
      maxNorm: this.#norms.reduce((most, norm) => Math.max(most, norm), 0),
    };
  }
}
