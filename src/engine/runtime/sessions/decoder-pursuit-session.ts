import type { CoherenceFigures, RuntimeChoice } from "../../core/dictionary.ts";
import type { DictionaryWeights } from "../../core/dictionary-weights.ts";
import type { EncodeBatch } from "../../core/encode-batch.ts";
import { LARGEST_FLOAT32 } from "../../core/float-formats.ts";
import type { SparseCodes } from "../../core/sparse-codes.ts";
import { type DecoderPursuit, decoderPursuit } from "../../encoders/decoder-pursuit.ts";
import type { BatchSession, Progress } from "../process/encoder-session.ts";
import { FusedSession, type FusedSessionOptions } from "./fused-session.ts";

/** Smallest magnitude above 0 that float32 holds. */
const LEAST_FLOAT32 = 2 ** -149;

/** Pursuit over the decoder of a dictionary of any kind, on CPU. Codes use the dictionary's own indices and scale. */
export class DecoderPursuitSession implements BatchSession {
  readonly #unit: FusedSession;
  readonly #width: number;
  readonly #scale: Pick<DecoderPursuit, "features" | "norms">;

  private constructor(unit: FusedSession, width: number, scale: Pick<DecoderPursuit, "features" | "norms">) {
    this.#unit = unit;
    this.#width = width;
    this.#scale = scale;
  }

  static async create(given: DictionaryWeights, options: FusedSessionOptions): Promise<DecoderPursuitSession> {
    const { weights, ...scale } = decoderPursuit(given);
    return new DecoderPursuitSession(await FusedSession.create(weights, options), given.m, scale);
  }

  get chosen(): RuntimeChoice {
    return this.#unit.chosen;
  }

  get coherence(): CoherenceFigures {
    return this.#unit.coherence;
  }

  async encode(batch: EncodeBatch): Promise<SparseCodes> {
    const codes = await this.#unit.encode({ ...batch, budgets: this.#budgetsOf(batch) });
    this.#rescale(codes.indices, codes.values);
    if (codes.trace !== undefined) this.#rescale(codes.trace.indices, codes.trace.values);
    return { ...codes, width: this.#width };
  }

  /** A group counts the dictionary's atoms, zero atoms among them. */
  #budgetsOf({ budgets }: EncodeBatch): EncodeBatch["budgets"] {
    if (budgets.group.every((group) => group === 0)) return budgets;
    const { features } = this.#scale;
    const atomsIn = new Map<number, number>([[0, 0]]);
    const group = budgets.group.map((width) => {
      const known = atomsIn.get(width) ?? (features.findLastIndex((feature) => feature < width) + 1 || -1);
      atomsIn.set(width, known);
      return known;
    });
    return { ...budgets, group };
  }

  buildGramStep(): Promise<Progress> {
    return this.#unit.buildGramStep();
  }

  release(): Promise<void> {
    return this.#unit.release();
  }

  /** In place. A value that float32 cannot hold becomes the nearest one that it can, and never 0. */
  #rescale(indices: Uint32Array, values: Float32Array): void {
    const { features, norms } = this.#scale;
    for (let k = 0; k < indices.length; k++) {
      const i = indices[k]!;
      const value = values[k]! / norms[i]!;
      const magnitude = Math.min(Math.max(Math.abs(value), LEAST_FLOAT32), LARGEST_FLOAT32);
      if (value !== 0) values[k] = value < 0 ? -magnitude : magnitude;
      indices[k] = features[i]!;
    }
  }
}
