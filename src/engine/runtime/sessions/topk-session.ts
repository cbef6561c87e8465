import { atomNorms } from "../../core/atom-norms.ts";
import { type InferenceSession, Tensor } from "onnxruntime-node";
import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { CoherenceFigures, RuntimeChoice } from "../../core/dictionary.ts";
import type { TopkWeights } from "../../core/dictionary-weights.ts";
import { type PursuitTrace, type SparseCodes, STOP_REASONS } from "../../core/sparse-codes.ts";
import type { EncoderSession } from "../process/encoder-session.ts";
import { buildTopkModel } from "../onnx/topk-graph.ts";
import { AtomSession } from "./atom-session.ts";
import { codesOfTrace, type Found } from "./codes-of-trace.ts";
import { coherenceOf } from "../gram/gram.ts";
import { createOnnxSession, type OnnxSessionOptions } from "../onnx/onnx-session.ts";
import { type TopkRows, topkRows } from "./topk-rows.ts";

const MAX_ATOMS = STOP_REASONS.indexOf("max_atoms");
const NO_GAIN = STOP_REASONS.indexOf("no_gain");

/** A one-pass TopK encoder in ONNX Runtime. Its trace is its code by magnitude: the first k are the code of budget k. */
export class TopkSession extends AtomSession<TopkWeights> implements EncoderSession {
  readonly chosen: RuntimeChoice;
  readonly coherence: CoherenceFigures;
  readonly #session: InferenceSession;

  private constructor(
    session: InferenceSession,
    weights: TopkWeights,
    norms: Float64Array,
    { runtime }: OnnxSessionOptions,
  ) {
    super(weights, norms);
    this.#session = session;
    this.chosen = { runtime, path: "dense" };
    this.coherence = coherenceOf(norms, null);
  }

  static async create(weights: TopkWeights, options: OnnxSessionOptions): Promise<TopkSession> {
    const session = await createOnnxSession(buildTopkModel(weights), options);
    return new TopkSession(session, weights, atomNorms(weights), options);
  }

  async encode(batch: EncodeBatch): Promise<SparseCodes> {
    const { d, m } = this.weights;
    const rows = topkRows(batch, this.weights);
    const most = batch.budgets.maxAtoms.reduce((largest, atoms) => Math.max(largest, atoms), 1);
    const k = Math.min(most, m);
    const { values, indices } = await this.#session.run({
      x: new Tensor("float32", rows.input, [rows.count, d]),
      k: new Tensor("int64", BigInt64Array.of(BigInt(k)), [1]),
    });
    const found = this.#cut(values!.data as Float32Array, indices!.data as BigInt64Array, k, rows, batch);
    return codesOfTrace(found, rows, batch, this.weights);
  }

  release(): Promise<void> {
    return this.#session.release();
  }

  /** Each row's entries within its own budget. */
  #cut(
    values: Float32Array,
    indices: BigInt64Array,
    k: number,
    rows: TopkRows,
    { count, budgets, trace: wanted }: EncodeBatch,
  ): Found {
    const stops = new Uint8Array(count);
    const indptr = new Uint32Array(count + 1);
    for (let i = 0; i < count; i++) {
      const budget = Math.min(budgets.maxAtoms[i]!, k);
      let kept = 0;
      // A score beyond float32 is none that could be answered; ReLU leaves no negative one.
      while (kept < budget && values[i * k + kept]! > 0 && values[i * k + kept]! < Infinity) kept++;
      indptr[i + 1] = indptr[i]! + kept;
      stops[i] = kept === budgets.maxAtoms[i]! ? MAX_ATOMS : NO_GAIN;
    }
    const total = indptr[count]!;
    const trace = {
      indptr,
      indices: new Uint32Array(total),
      values: new Float32Array(total),
      residualNorms: new Float32Array(total),
    };
    for (let i = 0; i < count; i++) {
      for (let to = indptr[i]!, at = i * k; to < indptr[i + 1]!; to++, at++) {
        trace.indices[to] = Number(indices[at]);
        trace.values[to] = values[at]!;
      }
      if (wanted) this.#residualNorms(trace, i, rows);
    }
    return { trace, stops };
  }

  /** ||x − b − Σ z_j D_j|| after each entry of row i, in float64. */
  #residualNorms({ indptr, indices, values, residualNorms }: PursuitTrace, i: number, { scaled }: TopkRows): void {
    const { d, atoms } = this.weights;
    const left = Float64Array.from(scaled.subarray(i * d, (i + 1) * d));
    for (let at = indptr[i]!; at < indptr[i + 1]!; at++) {
      const atom = indices[at]! * d;
      let squares = 0;
      for (let c = 0; c < d; c++) {
        left[c]! -= values[at]! * atoms[atom + c]!;
        squares += left[c]! * left[c]!;
      }
      residualNorms[at] = Math.sqrt(squares);
    }
  }
}
