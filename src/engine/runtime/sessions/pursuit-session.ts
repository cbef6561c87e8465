import { atomNorms, type PursuitWeights } from "../../core/dictionary-weights.ts";
import { type InferenceSession, Tensor } from "onnxruntime-node";
import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { CoherenceFigures, RuntimeChoice } from "../../core/dictionary.ts";
import type { SparseCodes } from "../../core/sparse-codes.ts";
import type { EncoderSession } from "../process/encoder-session.ts";
import { buildPursuitModel } from "../onnx/pursuit-graph.ts";
import { AtomSession } from "./atom-session.ts";
import { FusedSession } from "./fused-session.ts";
import { finishCodes } from "./finish-codes.ts";
import { coherenceOf, gramMatrix } from "../gram/gram.ts";
import { createOnnxSession } from "../onnx/onnx-session.ts";
import { prepareRows } from "./prepare-rows.ts";

/** Operations of a Gram matrix, 2·m²·d, for which the first orthogonal request waits: about a second. */
const GRAM_IN_REQUEST = 2e11;

export interface PursuitSessionOptions extends RuntimeChoice {
  /** Form of the graph. */
  readonly path: "residual" | "gram";
  readonly threads: number;
  /** Steps in one turn of the graph's loop. */
  readonly unroll: number;
}

/** Matching pursuit in ONNX Runtime. */
export class PursuitSession extends AtomSession<PursuitWeights> implements EncoderSession {
  readonly chosen: RuntimeChoice;
  readonly coherence: CoherenceFigures;
  readonly #session: InferenceSession;
  readonly #unroll: number;
  readonly #options: PursuitSessionOptions;
  #orthogonal: Promise<FusedSession> | null = null;

  private constructor(
    session: InferenceSession,
    weights: PursuitWeights,
    gram: Float32Array | null,
    norms: Float64Array,
    options: PursuitSessionOptions,
  ) {
    super(weights, norms, options.threads);
    this.#session = session;
    this.#unroll = options.unroll;
    this.#options = options;
    this.chosen = { runtime: options.runtime, path: options.path };
    this.coherence = coherenceOf(norms, gram);
  }

  static async create(weights: PursuitWeights, options: PursuitSessionOptions): Promise<PursuitSession> {
    const { d, m, atoms, settings } = weights;
    const gram = options.path === "gram" ? await gramMatrix(weights, options) : null;
    const norms = atomNorms(weights);
    const model = buildPursuitModel({ d, m, atoms, gram, norms, settings, unroll: options.unroll });
    const session = await createOnnxSession(model, options);
    return new PursuitSession(session, weights, gram, norms, options);
  }

  async encode(batch: EncodeBatch): Promise<SparseCodes> {
    if (batch.pursuit?.kind === "orthogonal") return (await this.#orthogonalSession()).encode(batch);
    const prepared = prepareRows(batch, this.weights);
    const { count } = prepared;
    const column = (data: Float32Array): Tensor => new Tensor("float32", data, [count, 1]);
    const steps = prepared.maxAtoms.reduce((most, atoms) => Math.max(most, atoms), 0);
    const results = await this.#session.run({
      r: new Tensor("float32", prepared.scaled, [count, this.weights.d]),
      max_atoms: new Tensor("int32", prepared.maxAtoms, [count, 1]),
      tolerance: column(prepared.tolerance),
      residual: column(prepared.residual),
      ...(this.weights.settings.residualThreshold > 0 && { threshold: column(prepared.threshold) }),
      min_energy: column(prepared.minEnergy),
      turns: new Tensor("int64", BigInt64Array.of(BigInt(Math.ceil(steps / this.#unroll))), []),
    });
    const data = (name: string): unknown => results[name]!.data;
    const run = {
      indices: data("indices") as BigInt64Array,
      values: data("values") as Float32Array,
      energies: data("energies") as Float32Array,
      steps: data("steps") as Int32Array,
      stops: data("stops") as Int32Array,
    };
    return finishCodes(run, prepared, batch, this.weights);
  }

  override async release(): Promise<void> {
    await super.release();
    await (await this.#orthogonal)?.release();
    await this.#session.release();
  }

  /**
   * Made when the first request asks for it: most never do, and it holds the atoms, and G, a second time. A G that takes
   * longer than that request should wait is left out.
   */
  #orthogonalSession(): Promise<FusedSession> {
    const { threads, path } = this.#options;
    const gram = path === "gram";
    this.#orthogonal ??= FusedSession.create(this.weights, {
      runtime: "cpu",
      threads,
      gram,
      quickGram: GRAM_IN_REQUEST,
    });
    return this.#orthogonal;
  }
}
