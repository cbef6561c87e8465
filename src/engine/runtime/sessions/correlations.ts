import { type InferenceSession, Tensor } from "onnxruntime-node";
import type { Atoms } from "../../core/dictionary-weights.ts";
import type { InputNorm } from "../../core/dictionary.ts";
import { LARGEST_FLOAT32 } from "../../core/float-formats.ts";
import type { Correlations } from "../../core/sparse-codes.ts";
import { LargestKeys } from "../../core/candidate-atoms.ts";
import { freeMemory } from "../gram/gram.ts";
import { GraphBuilder } from "../onnx/graph-builder.ts";
import { createOnnxSession, encodeModel } from "../onnx/onnx-session.ts";
import { applyInputNorm } from "./input-norm.ts";
import { largestMagnitude, powerOfTwo } from "./prepare-rows.ts";

/** Numbers of atoms multiplied at once, 16 MiB: the runtime takes no shared memory, so atoms are copied block by block. */
const BLOCK = 1 << 22;

/** Rows of one call: [count, d], and how many of their largest correlations are wanted, 1 to m. */
export interface CorrelatedRows {
  readonly rows: Float32Array;
  readonly count: number;
  readonly most: number;
}

/**
 * D·(x − b) of rows in pursuit space, the largest of each row. Its matrix product takes the atoms as an input, so it holds no
 * second copy of them.
 */
export class RowCorrelations {
  readonly #weights: Atoms;
  readonly #inputNorm: InputNorm;
  readonly #threads: number;
  #product: Promise<InferenceSession> | null = null;

  constructor(weights: Atoms, inputNorm: InputNorm, threads: number) {
    this.#weights = weights;
    this.#inputNorm = inputNorm;
    this.#threads = threads;
  }

  /** The largest by value, not by magnitude; the lower index wins a tie. */
  async largest({ rows, count, most }: CorrelatedRows): Promise<Correlations> {
    const { m } = this.#weights;
    const { scaled, unscale } = this.#prepare(rows, count);
    const products = await this.#products(scaled, count);
    const largest = new LargestKeys(most);
    const indices = new Uint32Array(count * most);
    const values = new Float32Array(count * most);
    for (let i = 0; i < count; i++) {
      const row = products.subarray(i * m, (i + 1) * m);
      let to = i * most;
      for (const j of largest.select(row)) {
        // Without −0, which JSON does not write.
        const value = row[j]! * unscale[i]! + 0;
        indices[to] = j;
        values[to++] = Math.min(Math.max(value, -LARGEST_FLOAT32), LARGEST_FLOAT32);
      }
    }
    return { indices, values };
  }

  async release(): Promise<void> {
    await (await this.#product)?.release();
  }

  /**
   * Input norm, centre, and a scale by a power of two, under which products stay within float32. At least two rows come
   * out: the runtime multiplies a single row another way than many, and rounds differently.
   */
  #prepare(rows: Float32Array, count: number): { scaled: Float32Array; unscale: Float64Array } {
    const { d, center } = this.#weights;
    const scaled = new Float32Array(Math.max(count, 2) * d);
    scaled.set(rows);
    const unscale = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      const row = scaled.subarray(i * d, (i + 1) * d);
      applyInputNorm(row, this.#inputNorm);
      if (center !== null) for (let c = 0; c < d; c++) row[c]! -= center[c]!;
      const scale = powerOfTwo(largestMagnitude(row, 0, d));
      for (let c = 0; c < d; c++) row[c]! /= scale;
      unscale[i] = scale;
    }
    return { scaled, unscale };
  }

  /** [count, m] */
  async #products(rows: Float32Array, count: number): Promise<Float32Array> {
    const { atoms, m, d } = this.#weights;
    const session = await (this.#product ??= createProduct(d, this.#threads));
    const products = new Float32Array(count * m);
    const height = Math.max(1, Math.floor(BLOCK / d));
    const input = new Tensor("float32", rows, [rows.length / d, d]);
    for (let from = 0; from < m; from += height) {
      const to = Math.min(from + height, m);
      const block = new Tensor("float32", new Float32Array(atoms.subarray(from * d, to * d)), [to - from, d]);
      const part = (await session.run({ rows: input, atoms: block }))["products"]!.data as Float32Array;
      for (let i = 0; i < count; i++) products.set(part.subarray(i * (to - from), (i + 1) * (to - from)), i * m + from);
      freeMemory(part);
    }
    return products;
  }
}

/** rows [n, d], atoms [m, d] → products [n, m] */
function createProduct(d: number, threads: number): Promise<InferenceSession> {
  const g = new GraphBuilder("correlations");
  const product = g.matmulTransposed(g.input("rows", "float32", ["n", d]), g.input("atoms", "float32", ["m", d]));
  g.outputAs("products", product, "float32", ["n", "m"]);
  return createOnnxSession({ model: encodeModel(g.build()), external: g.externalTensors }, { runtime: "cpu", threads });
}
