import { type InferenceSession, Tensor } from "onnxruntime-node";
import { buildDenseModel } from "../graph/dense-graph.ts";
import { createOnnxSession, type OnnxSessionOptions } from "./onnx-session.ts";

/** rows · atomsᵀ by the runtime's matrix product. */
export class DensePass {
  readonly #session: InferenceSession;
  readonly #d: number;

  private constructor(session: InferenceSession, d: number) {
    this.#session = session;
    this.#d = d;
  }

  static async create(
    atoms: { readonly atoms: Float32Array; readonly m: number; readonly d: number },
    options: OnnxSessionOptions,
  ): Promise<DensePass> {
    return new DensePass(await createOnnxSession(buildDenseModel(atoms), options), atoms.d);
  }

  /** [n, d] → [n, m]. A single row takes another way through the runtime than many, and rounds differently. */
  async run(rows: Float32Array): Promise<Float32Array> {
    const { products } = await this.#session.run({ rows: this.#tensor(rows) });
    return products!.data as Float32Array;
  }

  /** The same into memory that the caller keeps: pages that are fresh for every run cost as much as a third of it. */
  async runInto(rows: Float32Array, products: Float32Array): Promise<void> {
    const input = this.#tensor(rows);
    const shape = [input.dims[0]!, products.length / input.dims[0]!];
    await this.#session.run({ rows: input }, { products: new Tensor("float32", products, shape) });
  }

  #tensor(rows: Float32Array): Tensor {
    return new Tensor("float32", rows, [rows.length / this.#d, this.#d]);
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}
