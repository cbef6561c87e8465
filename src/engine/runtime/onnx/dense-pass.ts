import { type InferenceSession, Tensor } from "onnxruntime-node";
import { buildDenseModel, type DenseWeights } from "./dense-graph.ts";
import { createOnnxSession, type OnnxSessionOptions } from "./onnx-session.ts";

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
   * every result; frequent callers should free it (free-memory.ts).
   */
  async run(rows: Float32Array): Promise<Float32Array> {
    const input = new Tensor("float32", rows, [rows.length / this.#d, this.#d]);
    const { products } = await this.#session.run({ rows: input });
    return products!.data as Float32Array;
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}
