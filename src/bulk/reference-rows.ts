import type { Rows } from "../engine/core/rows.ts";
import type { SparseCodes } from "../engine/core/sparse-codes.ts";
import type { ReferenceFigures } from "../engine/dictionaries/features-file.ts";
import { mixed } from "./feature-tally.ts";

/** Rows whose codes are kept for the distributions, at most. */
const MOST_KEPT = 8192;
/** Steps of the quantile in a distribution. */
const STEPS = 100;

interface KeptRow {
  readonly hash: number;
  readonly indices: Uint32Array;
  /** NaN where there is nothing to measure against. */
  readonly error: number;
  /** ‖x‖ */
  readonly norm: number;
}

export interface ReferenceState {
  count: number;
  atoms: number;
  /** Σ||r||²; NaN where there is nothing to measure against. */
  residual: number;
  /** Σ||x − first row||². */
  squares: number;
  /** [d] Σ(x − first row), and the first row. */
  sums: Float64Array;
  shift: Float64Array;
  /** Rows of a hash below it are kept. */
  threshold: number;
  kept: KeptRow[];
}

/** The codes of the reference rows as a whole: means over all of them, distributions over a sample. */
export class ReferenceRows {
  readonly state: ReferenceState;

  constructor(d: number, state?: ReferenceState) {
    this.state = state ?? {
      count: 0,
      atoms: 0,
      residual: 0,
      squares: 0,
      sums: new Float64Array(d),
      shift: new Float64Array(d),
      threshold: 2 ** 32,
      kept: [],
    };
  }

  /** @param first number of the first row */
  add({ data, width }: Rows, codes: SparseCodes, first: number): void {
    const { state } = this;
    if (state.count === 0) state.shift.set(data.subarray(0, width));
    for (let i = 0; i < codes.count; i++) {
      let squared = 0;
      for (let c = 0, at = i * width; c < width; c++, at++) {
        const off = data[at]! - state.shift[c]!;
        state.sums[c]! += off;
        state.squares += off * off;
        squared += data[at]! ** 2;
      }
      const indices = codes.indices.subarray(codes.indptr[i], codes.indptr[i + 1]);
      state.atoms += indices.length;
      state.residual += (codes.residualNorms?.[i] ?? NaN) ** 2;
      this.#keep({
        hash: mixed(first + i, 0x5eed),
        indices: indices.slice(),
        error: codes.relativeErrors?.[i] ?? NaN,
        norm: Math.sqrt(squared),
      });
    }
    state.count += codes.count;
  }

  /** @param rates [m] share of the rows in which each feature is active @param measured whether rows are what is reconstructed */
  figures(rates: Float32Array, measured: boolean): ReferenceFigures {
    const { count, atoms, residual, squares, sums, kept } = this.state;
    const variance = squares - sums.reduce((sum, value) => sum + value * value, 0) / Math.max(1, count);
    const surprise = kept
      .filter(({ indices }) => indices.length > 0)
      .map(({ indices }) => indices.reduce((sum, j) => sum - Math.log(rates[j]!), 0) / indices.length);
    const errors = kept.map(({ error }) => error).filter((error) => !Number.isNaN(error));
    return {
      meanAtoms: atoms / Math.max(1, count),
      explainedVariance: measured && variance > 0 && !Number.isNaN(residual) ? 1 - residual / variance : null,
      typical: {
        atoms: distribution(kept.map(({ indices }) => indices.length)),
        relativeError: distribution(errors),
        surprise: distribution(surprise),
        norm: distribution(kept.map(({ norm }) => norm)),
      },
    };
  }

  #keep(row: KeptRow): void {
    const { state } = this;
    if (row.hash >= state.threshold) return;
    state.kept.push(row);
    while (state.kept.length > MOST_KEPT) {
      state.threshold /= 2;
      state.kept = state.kept.filter(({ hash }) => hash < state.threshold);
    }
  }
}

/** Values at 0, 0.01, … 1 of the quantile. */
function distribution(values: readonly number[]): number[] {
  if (values.length === 0) return [];
  const sorted = values.toSorted((a, b) => a - b);
  return Array.from({ length: STEPS + 1 }, (_, step) => {
    const at = (step / STEPS) * (sorted.length - 1);
    const low = Math.floor(at);
    const next = sorted[Math.min(low + 1, sorted.length - 1)]!;
    return Number((sorted[low]! + (at - low) * (next - sorted[low]!)).toPrecision(5));
  });
}
