import { type InferenceSession, Tensor } from "onnxruntime-node";
import type { Block } from "../../core/dictionary.ts";
import { createOnnxSession, encodeModel, type OnnxSessionOptions } from "./onnx-session.ts";
import { type ExternalTensor, GraphBuilder } from "./graph-builder.ts";

/** Computes rows · atomsᵀ + bias by the runtime's matrix product. */
export class DensePass {
  readonly #session: InferenceSession;
  readonly #d: number;

  private constructor(session: InferenceSession, d: number) {
    this.#session = session;
    this.#d = d;
  }

  static async create(weights: DenseWeights, options: OnnxSessionOptions): Promise<DensePass> {
    return new DensePass(await createOnnxSession(buildDenseModel(weights), options), weights.d);
  }

  /**
   * [n, d] → [n, m]. A single row takes another path through the runtime and rounds differently. The binding allocates
   * every result that has no memory given; frequent callers should free it (freeMemory).
   * @param into [n, m] memory for the result, not shared with other threads
   */
  async run(rows: Float32Array, into?: Float32Array): Promise<Float32Array> {
    const n = rows.length / this.#d;
    const input = { rows: new Tensor("float32", rows, [n, this.#d]) };
    if (into !== undefined) {
      await this.#session.run(input, { products: new Tensor("float32", into, [n, into.length / n]) });
      return into;
    }
    const { products } = await this.#session.run(input);
    return products!.data as Float32Array;
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

/** A matrix [m, d] to multiply rows with, and a bias [m] to add. */
interface DenseWeights {
  readonly m: number;
  /** Row length. */
  readonly d: number;
  /** [m, d], or [m, d / layers] with blocks. */
  readonly atoms: Float32Array;
  readonly bias?: Float32Array;
  readonly layers?: number;
  /** Products [from, to) are with one of the `layers` equal slices of the row; absent: all are with the whole row. */
  readonly blocks?: readonly Pick<Block, "from" | "to" | "layer">[];
}

/** One dense pass: rows [n, d] → products [n, m] = rows · atomsᵀ + bias. */
function buildDenseModel({ atoms, bias, m, d, layers = 1, blocks }: DenseWeights): {
  readonly model: Uint8Array;
  readonly external: readonly ExternalTensor[];
} {
  const g = new GraphBuilder("dense");
  const rows = g.input("rows", "float32", ["n", d]);
  if (blocks === undefined) {
    const added = bias && g.weights("bias", bias, [m]);
    g.outputAs("products", g.matmulTransposed(rows, g.weights("atoms", atoms, [m, d]), added), "float32", ["n", m]);
  } else {
    const width = d / layers;
    const products = blocks.map(({ from, to, layer }, i) => {
      const added = bias && g.weights(`bias_${i}`, bias.subarray(from, to), [to - from]);
      const matrix = g.weights(`atoms_${i}`, atoms.subarray(from * width, to * width), [to - from, width]);
      return g.matmulTransposed(g.sliceColumns(rows, layer * width, (layer + 1) * width), matrix, added);
    });
    g.outputAs("products", g.concat(products, 1), "float32", ["n", m]);
  }
  return { model: encodeModel(g.build()), external: g.externalTensors };
}
