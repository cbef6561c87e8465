import type { Atoms } from "../../core/dictionary-weights.ts";
import type { EncodeBatch } from "../../core/encode-batch.ts";
import { LARGEST_FLOAT32 } from "../../core/float-formats.ts";
import { type SparseCodes, STOP_REASONS } from "../../core/sparse-codes.ts";
import type { AtomResidual } from "../kernel/atom-residual.ts";
import type { OnePassRows } from "./one-pass-rows.ts";

const [MAX_ATOMS, TOLERANCE, RESIDUAL_NORM, MIN_GAIN, ACTIVE_END] = (
  ["max_atoms", "tolerance", "residual_norm", "min_gain", "active_end"] as const
).map((reason) => STOP_REASONS.indexOf(reason)) as [number, number, number, number, number];

/** Active atoms of a batch: row i's are `indptr[i] … indptr[i + 1]`, by ascending index. */
export type ActiveRows = Pick<SparseCodes, "indptr" | "indices" | "values">;

/**
 * Codes of a one-pass encoder within their budgets (docs/algorithm.md, One-pass encoders). A row without a limit keeps
 * all its active atoms. Another grows atom by atom in order of falling contribution |a_j| · ||D_j||, the lower index first
 * on a tie, until a limit is met; the trace is that order. Residuals are known where rows have a target.
 * @param residual over the atoms of `weights`; its row is overwritten
 * @param constant [count, d] what decode adds to a transcoder's codes; null: the centre, to every row
 * @param norms [m] of the atoms that decode uses
 */
export function onePassCodes(
  active: ActiveRows,
  { target, norm }: OnePassRows,
  batch: EncodeBatch,
  weights: Atoms,
  norms: Float64Array,
  residual: AtomResidual,
  constant: Float32Array | null = null,
): SparseCodes {
  const { count, trace, reconstruction: wanted } = batch;
  const { d, m, center } = weights;
  const codes = new RowCodes(active.indices.length, count, { trace, measured: target !== null });
  const reconstruction = wanted ? new Float32Array(count * d) : null;
  const { row } = residual;
  for (let i = 0; i < count; i++) {
    if (target === null) row.fill(0);
    else row.set(target.subarray(i * d, (i + 1) * d));
    const from = active.indptr[i]!;
    const own = { indices: active.indices.subarray(from, active.indptr[i + 1]), values: active.values.subarray(from) };
    const start = Math.sqrt(residual.energy());
    const limits = limitsOf(batch, i, start);
    if (trace || limits.any || limits.maxAtoms <= own.indices.length) {
      codes.grow(own, limits, residual, norms);
    } else codes.keep(own, target !== null || wanted ? residual : null);
    codes.end(i, residual, start);
    if (reconstruction === null) continue;
    const scale = norm?.scale[i] ?? 1;
    const shift = norm?.shift[i] ?? 0;
    for (let c = 0, at = i * d; c < d; c++, at++) {
      const added = constant === null ? (center?.[c] ?? 0) : constant[at]!;
      reconstruction[at] = ((target?.[at] ?? 0) - row[c]! + added) * scale + shift;
    }
  }
  return {
    count,
    width: m,
    ...codes.columns(),
    ...(norm && { norm }),
    ...(reconstruction && { reconstruction }),
  };
}

/** Limits of one row, absolute. */
interface Limits {
  readonly maxAtoms: number;
  /** Squared residual norms; below 0 where a limit is off. */
  readonly tolerance: number;
  readonly residualNorm: number;
  /** Energy that the next atom must take off; −∞ where that is off. */
  readonly minGain: number;
  readonly any: boolean;
}

function limitsOf({ budgets }: EncodeBatch, i: number, norm: number): Limits {
  const tolerance = budgets.tolerance[i]!;
  const residualNorm = budgets.residualNorm[i]!;
  const minGain = budgets.minGain[i]!;
  return {
    maxAtoms: budgets.maxAtoms[i]!,
    tolerance: tolerance > 0 ? (tolerance * norm) ** 2 : -1,
    residualNorm: residualNorm > 0 ? residualNorm ** 2 : -1,
    minGain: minGain > 0 ? minGain * norm ** 2 : -Infinity,
    any: tolerance > 0 || residualNorm > 0 || minGain > 0,
  };
}

interface OwnCode {
  readonly indices: Uint32Array;
  readonly values: Float32Array;
}

/** The columns of the codes, row after row. */
class RowCodes {
  readonly #indptr: Uint32Array;
  readonly #indices: Uint32Array;
  readonly #values: Float32Array;
  readonly #stops: Uint8Array;
  readonly #residuals: { readonly norms: Float32Array; readonly relative: Float32Array } | null;
  readonly #trace: { indices: Uint32Array; values: Float32Array; residualNorms: Float32Array } | null;
  #length = 0;
  #stop = ACTIVE_END;

  constructor(
    capacity: number,
    count: number,
    { trace, measured }: { readonly trace: boolean; readonly measured: boolean },
  ) {
    this.#indptr = new Uint32Array(count + 1);
    this.#indices = new Uint32Array(capacity);
    this.#values = new Float32Array(capacity);
    this.#stops = new Uint8Array(count);
    this.#residuals = measured ? { norms: new Float32Array(count), relative: new Float32Array(count) } : null;
    this.#trace = trace
      ? {
          indices: new Uint32Array(capacity),
          values: new Float32Array(capacity),
          residualNorms: new Float32Array(capacity),
        }
      : null;
  }

  /** All active atoms; subtracts them from `residual`, where that is wanted. */
  keep({ indices, values }: OwnCode, residual: AtomResidual | null): void {
    this.#stop = ACTIVE_END;
    residual?.subtractAll(indices, values);
    for (let k = 0; k < indices.length; k++) this.#put(this.#length + k, indices[k]!, values[k]!);
    this.#length += indices.length;
  }

  /** Active atoms by contribution until a limit is met; subtracts those from `residual`. */
  grow({ indices, values }: OwnCode, limits: Limits, residual: AtomResidual, norms: Float64Array): void {
    const contribution = (k: number): number => Math.abs(values[k]!) * norms[indices[k]!]!;
    const order = Array.from(indices.keys()).sort((a, b) => contribution(b) - contribution(a) || a - b);
    let kept = 0;
    let energy = residual.energy();
    for (;;) {
      const stop = stopAt(energy, kept, limits);
      if (stop !== null) {
        this.#stop = stop;
        break;
      }
      const k = order[kept];
      if (k === undefined) {
        this.#stop = ACTIVE_END;
        break;
      }
      residual.subtract(indices[k]!, values[k]!);
      const next = residual.energy();
      if (energy - next < limits.minGain) {
        residual.subtract(indices[k]!, -values[k]!);
        this.#stop = MIN_GAIN;
        break;
      }
      energy = next;
      if (this.#trace !== null) {
        const at = this.#length + kept;
        this.#trace.indices[at] = indices[k]!;
        this.#trace.values[at] = values[k]!;
        this.#trace.residualNorms[at] = Math.min(Math.sqrt(energy), LARGEST_FLOAT32);
      }
      kept++;
    }
    const chosen = order.slice(0, kept).sort((a, b) => a - b);
    for (const [at, k] of chosen.entries()) this.#put(this.#length + at, indices[k]!, values[k]!);
    this.#length += kept;
  }

  #put(at: number, index: number, value: number): void {
    this.#indices[at] = index;
    this.#values[at] = value;
  }

  /** Ends row i. @param start its residual norm with no atom */
  end(i: number, residual: AtomResidual, start: number): void {
    this.#indptr[i + 1] = this.#length;
    this.#stops[i] = this.#stop;
    if (this.#residuals === null) return;
    const left = Math.sqrt(residual.energy());
    // A row of finite numbers may be longer than float32 reaches.
    this.#residuals.norms[i] = Math.min(left, LARGEST_FLOAT32);
    this.#residuals.relative[i] = start === 0 ? 0 : left / start;
  }

  columns(): Omit<SparseCodes, "count" | "width"> {
    const indptr = this.#indptr;
    const length = this.#length;
    return {
      indptr,
      indices: this.#indices.slice(0, length),
      values: this.#values.slice(0, length),
      steps: Uint32Array.from(this.#stops, (_, i) => indptr[i + 1]! - indptr[i]!),
      stops: this.#stops,
      ...(this.#residuals && { residualNorms: this.#residuals.norms, relativeErrors: this.#residuals.relative }),
      ...(this.#trace && {
        trace: {
          indptr: indptr.slice(),
          indices: this.#trace.indices.slice(0, length),
          values: this.#trace.values.slice(0, length),
          ...(this.#residuals && { residualNorms: this.#trace.residualNorms.slice(0, length) }),
        },
      }),
    };
  }
}

/** Why a row ends with `kept` atoms; null where it goes on. */
function stopAt(energy: number, kept: number, { maxAtoms, tolerance, residualNorm }: Limits): number | null {
  if (energy <= tolerance) return TOLERANCE;
  if (energy <= residualNorm) return RESIDUAL_NORM;
  return kept === maxAtoms ? MAX_ATOMS : null;
}
