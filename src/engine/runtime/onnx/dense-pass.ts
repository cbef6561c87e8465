import { type InferenceSession, Tensor } from "onnxruntime-node";
import type { Block } from "../../core/dictionary.ts";
import { createOnnxSession, encodeModel, MAX_IN_MEMORY, type OnnxSessionOptions } from "./onnx-session.ts";
import { type ExternalTensor, GraphBuilder } from "./graph-builder.ts";
import type { Value } from "./protos.ts";

/** Computes rows · atomsᵀ by the runtime's matrix product. */
export class DensePass {
  readonly #session: InferenceSession;
  readonly #d: number;

  private constructor(session: InferenceSession, d: number) {
    this.#session = session;
    this.#d = d;
  }

  /** @param freed called when the runtime no longer needs the matrix in the caller's memory */
  static async create(weights: DenseWeights, options: DenseOptions, freed?: () => void): Promise<DensePass> {
    const partBytes = options.partBytes ?? (weights.atoms.byteLength > MAX_IN_MEMORY ? PART : Infinity);
    const session = await createOnnxSession(buildDenseModel(weights, partBytes), options, freed);
    return new DensePass(session, weights.d);
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

/**
 * Bytes of the parts of a matrix that reaches the runtime in files. It packs one tensor at a time and then frees its source, so
 * at the peak of a load only one part is there twice.
 */
const PART = 1 << 28;

interface DenseOptions extends OnnxSessionOptions {
  /** Bytes of a part, whatever the size of the matrix. */
  readonly partBytes?: number;
}

/** A matrix [m, d] to multiply rows with. */
interface DenseWeights {
  readonly m: number;
  /** Row length. */
  readonly d: number;
  /** [m, d], or [m, d / layers] with blocks. */
  readonly atoms: Float32Array;
  readonly layers?: number;
  /** Products [from, to) are with one of the `layers` equal slices of the row; absent: all are with the whole row. */
  readonly blocks?: readonly Pick<Block, "from" | "to" | "layer">[];
}

/** One dense pass: rows [n, d] → products [n, m] = rows · atomsᵀ. */
export function buildDenseModel(
  { atoms, m, d, layers = 1, blocks }: DenseWeights,
  partBytes: number,
): { readonly model: Uint8Array; readonly external: readonly ExternalTensor[] } {
  const g = new GraphBuilder("dense");
  const rows = g.input("rows", "float32", ["n", d]);
  const width = d / layers;
  const height = Math.max(1, Math.min(m, Math.floor(partBytes / (4 * width))));
  const products: Value[] = [];
  for (const { from, to, layer } of blocks ?? [{ from: 0, to: m, layer: 0 }]) {
    const read = blocks === undefined ? rows : g.sliceColumns(rows, layer * width, (layer + 1) * width);
    for (let first = from; first < to; first += height) {
      const last = Math.min(first + height, to);
      const matrix = g.weights(`atoms_${first}`, atoms.subarray(first * width, last * width), [last - first, width]);
      products.push(g.matmulTransposed(read, matrix));
    }
  }
  g.outputAs("products", products.length === 1 ? products[0]! : g.concat(products, 1), "float32", ["n", m]);
  return { model: encodeModel(g.build()), external: g.externalTensors };
}
