import { atomNorms } from "../../atom-norms.ts";
import type { OrthogonalWeights } from "../../dictionary-weights.ts";
import type { EncodeBatch } from "../../encode-batch.ts";
import type { CoherenceFigures, RuntimeChoice } from "../../engine.ts";
import type { SparseCodes } from "../../sparse-codes.ts";
import type { EncoderSession } from "../encoder-session.ts";
import { AtomSession } from "./atom-session.ts";
import { coherenceOf } from "./gram.ts";
import { OrthogonalPursuit, type OrthogonalPursuitOptions } from "./orthogonal-pursuit.ts";

/** A dictionary whose own encoder is orthogonal matching pursuit. */
export class OrthogonalSession extends AtomSession<OrthogonalWeights> implements EncoderSession {
  readonly chosen: RuntimeChoice;
  readonly coherence: CoherenceFigures;
  readonly #pursuit: OrthogonalPursuit;

  private constructor(
    pursuit: OrthogonalPursuit,
    weights: OrthogonalWeights,
    norms: Float64Array,
    options: OrthogonalPursuitOptions,
  ) {
    super(weights, norms);
    this.#pursuit = pursuit;
    this.chosen = { runtime: options.runtime, path: options.gram ? "gram" : "residual" };
    this.coherence = coherenceOf(norms, pursuit.gram);
  }

  static async create(weights: OrthogonalWeights, options: OrthogonalPursuitOptions): Promise<OrthogonalSession> {
    const norms = atomNorms(weights);
    const pursuit = await OrthogonalPursuit.create(weights, { norms, settings: weights.settings }, options);
    return new OrthogonalSession(pursuit, weights, norms, options);
  }

  encode(batch: EncodeBatch): Promise<SparseCodes> {
    return this.#pursuit.encode(batch);
  }

  release(): Promise<void> {
    return this.#pursuit.release();
  }
}
