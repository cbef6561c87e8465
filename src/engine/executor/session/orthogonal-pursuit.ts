import type { OrthogonalSettings, PursuitSettings } from "../../dictionary.ts";
import type { Atoms } from "../../dictionary-weights.ts";
import type { EncodeBatch } from "../../encode-batch.ts";
import type { PursuitTrace, SparseCodes } from "../../sparse-codes.ts";
import { codesOf } from "./codes-of-trace.ts";
import { Correlations } from "./correlations.ts";
import { DensePass } from "./dense-pass.ts";
import { gramMatrix } from "./gram.ts";
import { largestScore } from "./largest-score.ts";
import type { OnnxSessionOptions } from "./onnx-session.ts";
import { OrthogonalRow } from "./orthogonal-row.ts";
import { prepareRows, type PreparedRows } from "./prepare-rows.ts";

export interface OrthogonalPursuitOptions extends OnnxSessionOptions {
  /** Whether to update correlations by the Gram matrix; without it they are taken anew for every selection. */
  readonly gram: boolean;
}

/** How a dictionary of plain pursuit is encoded with orthogonally: its own score, non-negative or of either sign. */
export function orthogonalSettings({ score, reselect: _, ...same }: PursuitSettings): OrthogonalSettings {
  return { ...same, score: score === "relu" ? "relu" : "absolute", rawScores: false };
}

/**
 * Orthogonal matching pursuit of batches (DESIGN §2.2). In the Gram form one matrix product gives a batch's first
 * correlations, and each row then goes its own way with rows of G; in the residual form, where G would be too large,
 * all rows that still run make a step together, and a matrix product a step gives their correlations.
 */
export class OrthogonalPursuit {
  readonly #weights: Atoms;
  readonly #settings: OrthogonalSettings;
  readonly #dense: DensePass;
  readonly #gram: Float32Array | null;
  /** [m] 1 / ||D_j||, or 1 where scores are raw. */
  readonly #scales: Float32Array;

  private constructor(
    dense: DensePass,
    gram: Float32Array | null,
    weights: Atoms,
    norms: Float64Array,
    settings: OrthogonalSettings,
  ) {
    this.#dense = dense;
    this.#gram = gram;
    this.#weights = weights;
    this.#settings = settings;
    this.#scales = Float32Array.from(norms, (norm) => (settings.rawScores ? 1 : 1 / norm));
  }

  static async create(
    weights: Atoms,
    { norms, settings }: { readonly norms: Float64Array; readonly settings: OrthogonalSettings },
    options: OrthogonalPursuitOptions,
  ): Promise<OrthogonalPursuit> {
    const gram = options.gram ? await gramMatrix(weights, options) : null;
    return new OrthogonalPursuit(await DensePass.create(weights, options), gram, weights, norms, settings);
  }

  /** G [m, m]; null in the residual form. */
  get gram(): Float32Array | null {
    return this.#gram;
  }

  async encode(batch: EncodeBatch): Promise<SparseCodes> {
    const { d, center } = this.#weights;
    const prepared = prepareRows(batch, { d, center, settings: this.#settings });
    const codes = new Collected(batch.count);
    if (this.#gram === null) await this.#together(prepared, codes);
    else await this.#oneByOne(prepared, codes, this.#gram);
    return codesOf(codes.finish(), prepared, batch, this.#weights);
  }

  release(): Promise<void> {
    return this.#dense.release();
  }

  async #oneByOne(prepared: PreparedRows, codes: Collected, gram: Float32Array): Promise<void> {
    const { m } = this.#weights;
    const products = await this.#dense.run(prepared.scaled);
    const row = this.#newRow(prepared);
    const correlations = new Correlations(this.#weights, gram);
    for (let i = 0; i < codes.count; i++) {
      row.start(i);
      correlations.start(products.subarray(i * m, (i + 1) * m), prepared.energy[i]!);
      while (row.stop === null) {
        const c = correlations.of(row);
        row.select(largestScore(c, this.#scales, this.#settings.score, row.solution));
      }
      codes.take(i, row, prepared.unscale[i]!);
    }
  }

  async #together(prepared: PreparedRows, codes: Collected): Promise<void> {
    const { d, m } = this.#weights;
    const running = new Map<number, OrthogonalRow>();
    const begin = (i: number): void => {
      const row = this.#newRow(prepared);
      row.start(i);
      running.set(i, row);
    };
    for (let i = 0; i < codes.count; i++) begin(i);
    for (;;) {
      for (const [i, row] of running) {
        if (row.stop === null) continue;
        codes.take(i, row, prepared.unscale[i]!);
        running.delete(i);
      }
      if (running.size === 0) return;
      const count = Math.max(running.size, 2);
      const residuals = new Float32Array(count * d);
      for (const [place, row] of [...running.values()].entries()) {
        row.solution.residual(row.residual);
        residuals.set(row.residual, place * d);
      }
      const products = await this.#dense.run(residuals);
      for (const [place, row] of [...running.values()].entries()) {
        const c = products.subarray(place * m, (place + 1) * m);
        row.select(largestScore(c, this.#scales, this.#settings.score, row.solution));
      }
    }
  }

  #newRow(prepared: PreparedRows): OrthogonalRow {
    return new OrthogonalRow(prepared, { weights: this.#weights, settings: this.#settings });
  }
}

/** Codes as rows end, in whatever order they do. */
class Collected {
  readonly count: number;
  readonly #rows: {
    readonly selected: Int32Array;
    readonly values: Float64Array;
    readonly traced: readonly number[];
    readonly norms: readonly number[];
    readonly stop: number;
  }[] = [];

  constructor(count: number) {
    this.count = count;
  }

  take(i: number, { solution, values, norms, stopNumber }: OrthogonalRow, unscale: number): void {
    const { size, selected, coefficients } = solution;
    this.#rows[i] = {
      selected: selected.slice(0, size),
      values: coefficients.slice(0, size).map((value) => value * unscale),
      traced: [...values],
      norms: [...norms],
      stop: stopNumber,
    };
  }

  finish(): Parameters<typeof codesOf>[0] {
    const { count } = this;
    const traceIndptr = new Uint32Array(count + 1);
    for (let i = 0; i < count; i++) traceIndptr[i + 1] = traceIndptr[i]! + this.#rows[i]!.selected.length;
    const total = traceIndptr[count]!;
    const trace: PursuitTrace = {
      indptr: traceIndptr,
      indices: new Uint32Array(total),
      values: new Float32Array(total),
      residualNorms: new Float32Array(total),
    };
    const indptr = new Uint32Array(count + 1);
    const indices = new Uint32Array(total);
    const values = new Float32Array(total);
    let to = 0;
    for (const [i, row] of this.#rows.entries()) {
      const from = traceIndptr[i]!;
      trace.indices.set(row.selected, from);
      trace.values.set(row.traced, from);
      trace.residualNorms.set(row.norms, from);
      const ascending = Array.from(row.selected.keys()).sort((a, b) => row.selected[a]! - row.selected[b]!);
      for (const k of ascending) {
        indices[to] = row.selected[k]!;
        values[to] = row.values[k]!;
        // Not every coefficient that float64 tells from zero is one in float32.
        if (values[to] !== 0) to++;
      }
      indptr[i + 1] = to;
    }
    return {
      merged: { indptr, indices: indices.subarray(0, to), values: values.subarray(0, to) },
      trace,
      stops: Uint8Array.from(this.#rows, ({ stop }) => stop),
    };
  }
}
