import type { DictionaryWeights } from "../../core/dictionary-weights.ts";
import type { CodesToDecode, Correlations } from "../../core/sparse-codes.ts";
import type { Neighbour } from "../../core/dictionary.ts";
import type { SteerBatch, SteeredBatch } from "../../core/steer-batch.ts";
import { type CorrelatedRows, RowCorrelations } from "./correlations.ts";
import { decodeCodes } from "./decode-codes.ts";
import { nearestAtoms } from "../gram/gram.ts";
import { steerRows } from "./steer-rows.ts";

/**
 * What every session answers from its atoms alone. They lie in memory twice, in the runtime and here: decode, neighbours
 * and the final residual touch single atoms, which would cost more to fetch out of a graph than to hold.
 */
export abstract class AtomSession<W extends DictionaryWeights> {
  protected readonly weights: W;
  protected readonly norms: Float64Array;
  readonly #correlations: RowCorrelations;

  /** @param threads of the products of rows and atoms */
  protected constructor(weights: W, norms: Float64Array, threads: number) {
    this.weights = weights;
    this.norms = norms;
    this.#correlations = new RowCorrelations(weights, weights.settings.inputNorm, threads);
  }

  correlations(rows: CorrelatedRows): Promise<Correlations> {
    return this.#correlations.largest(rows);
  }

  /** Frees what it holds of the runtime. */
  release(): Promise<void> {
    return this.#correlations.release();
  }

  decode(codes: CodesToDecode): Promise<Float32Array> {
    return Promise.resolve(decodeCodes(codes, this.weights));
  }

  steer(batch: SteerBatch): SteeredBatch {
    return steerRows(batch, this.weights);
  }

  atoms(indices: Uint32Array): Float32Array {
    const { atoms, d } = this.weights;
    const rows = new Float32Array(indices.length * d);
    for (const [i, j] of indices.entries()) rows.set(atoms.subarray(j * d, (j + 1) * d), i * d);
    return rows;
  }

  neighbours(index: number, count: number): Promise<Neighbour[]> {
    const { atoms, d } = this.weights;
    const own = atoms.subarray(index * d, (index + 1) * d);
    return Promise.resolve(nearestAtoms(this.weights, this.norms, own, count, index));
  }

  nearest(row: Float32Array, count: number): Neighbour[] {
    const { center } = this.weights;
    const vector = center === null ? row : Float64Array.from(row, (value, i) => value - center[i]!);
    return nearestAtoms(this.weights, this.norms, vector, count);
  }

  atomNorms(): Float64Array {
    return this.norms.slice();
  }
}
