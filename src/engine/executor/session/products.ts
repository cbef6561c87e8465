import { type InferenceSession, Tensor } from "onnxruntime-node";
import type { Atoms } from "../../dictionary-weights.ts";
import { encodeModel } from "../graph/encode-model.ts";
import { GraphBuilder } from "../graph/graph-builder.ts";
import { createOnnxSession, type OnnxSessionOptions } from "./onnx-session.ts";

/** D·x of many rows at once, by the runtime's matrix product. */
export class Products {
  readonly #session: InferenceSession;
  readonly #d: number;

  private constructor(session: InferenceSession, d: number) {
    this.#session = session;
    this.#d = d;
  }

  static async create({ atoms, m, d }: Atoms, options: OnnxSessionOptions): Promise<Products> {
    const g = new GraphBuilder("products");
    const rows = g.input("rows", "float32", ["n", d]);
    g.outputAs("products", g.matmulTransposed(rows, g.weights("atoms", atoms, [m, d])), "float32", ["n", m]);
    const session = await createOnnxSession({ model: encodeModel(g.build()), external: g.externalTensors }, options);
    return new Products(session, d);
  }

  /**
   * [count, d] → [count, m]. At least two rows must come: the runtime multiplies a single one another way than many, and
   * rounds differently.
   */
  async of(rows: Float32Array, count: number): Promise<Float32Array> {
    const { products } = await this.#session.run({ rows: new Tensor("float32", rows, [count, this.#d]) });
    return products!.data as Float32Array;
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}
