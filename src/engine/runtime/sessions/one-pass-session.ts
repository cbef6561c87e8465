import { atomNorms } from "../../core/atom-norms.ts";
import type { CoherenceFigures, RuntimeChoice } from "../../core/dictionary.ts";
import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { SparseCodes } from "../../core/sparse-codes.ts";
import { onePassRule } from "../../encoders/activations.ts";
import { type Activation, ActiveAtoms } from "../../encoders/active-atoms.ts";
import type { OnePassWeights, ScaledSettings } from "../../encoders/one-pass.ts";
import { coherenceOf } from "../gram/gram.ts";
import { freeMemory } from "../gram/free-memory.ts";
import { DensePass } from "../onnx/dense-pass.ts";
import type { OnnxSessionOptions } from "../onnx/onnx-session.ts";
import type { EncoderSession } from "../process/encoder-session.ts";
import { AtomSession } from "./atom-session.ts";
import { onePassCodes } from "./one-pass-codes.ts";
import { onePassRows } from "./one-pass-rows.ts";

/** Scores of one run of the dense pass, 64 MiB: a large dictionary encodes a batch in several runs. */
const SCORES_AT_ONCE = 1 << 24;

/** A one-pass encoder: the dense pass in ONNX Runtime, then the activation rule of its kind over each row of scores. */
export class OnePassSession extends AtomSession<OnePassWeights> implements EncoderSession {
  readonly chosen: RuntimeChoice;
  readonly coherence: CoherenceFigures;
  readonly #dense: DensePass;
  readonly #activate: Activation;
  readonly #active = new ActiveAtoms();

  private constructor(
    dense: DensePass,
    activate: Activation,
    weights: OnePassWeights,
    norms: Float64Array,
    { runtime }: OnnxSessionOptions,
  ) {
    super(weights, norms);
    this.#dense = dense;
    this.#activate = activate;
    this.chosen = { runtime, path: "dense" };
    this.coherence = coherenceOf(norms, null);
  }

  static async create(weights: OnePassWeights, options: OnnxSessionOptions): Promise<OnePassSession> {
    const { d, m, tensors } = weights;
    const norms = atomNorms(weights);
    const activate = onePassRule(weights).create(weights, norms);
    const bias = tensors["encoder_bias"];
    const dense = await DensePass.create({ d, m, atoms: tensors["encoder_weight"]!, ...(bias && { bias }) }, options);
    if ((weights.settings as ScaledSettings).scaleByDecoderNorm === true) {
      const atoms = unitAtoms(weights, norms);
      return new OnePassSession(dense, activate, { ...weights, atoms }, atomNorms({ d, m, atoms }), options);
    }
    return new OnePassSession(dense, activate, weights, norms, options);
  }

  async encode(batch: EncodeBatch): Promise<SparseCodes> {
    const { d, m } = this.weights;
    const rows = onePassRows(batch, this.weights);
    const active = this.#active;
    active.length = 0;
    const indptr = new Uint32Array(batch.count + 1);
    // A single row takes another way through the runtime than many and rounds differently, so a run has two at least.
    const height = Math.max(2, Math.floor(SCORES_AT_ONCE / m));
    for (let from = 0; from < batch.count; from += height) {
      const to = Math.min(from + height, rows.count);
      const start = Math.min(from, to - 2);
      const scores = await this.#dense.run(rows.input.subarray(start * d, to * d));
      for (let i = from; i < Math.min(to, batch.count); i++) {
        this.#activate(scores.subarray((i - start) * m, (i - start + 1) * m), active);
        indptr[i + 1] = active.length;
      }
      freeMemory(scores);
    }
    const found = {
      indptr,
      indices: active.indices.subarray(0, active.length),
      values: active.values.subarray(0, active.length),
    };
    return onePassCodes(found, rows, batch, this.weights, this.norms);
  }

  release(): Promise<void> {
    return this.#dense.release();
  }
}

/** D_j / ||D_j||, which decode uses where scores were multiplied by the norms. */
function unitAtoms({ d, m, atoms }: OnePassWeights, norms: Float64Array): Float32Array {
  const unit = new Float32Array(atoms.length);
  for (let j = 0; j < m; j++) {
    const scale = norms[j] === 0 ? 0 : 1 / norms[j]!;
    for (let at = j * d; at < (j + 1) * d; at++) unit[at] = atoms[at]! * scale;
  }
  return unit;
}
