import type { Activation, CandidateScan } from "../../core/candidate-atoms.ts";
import type { Atoms } from "../../core/dictionary-weights.ts";
import type { BudgetColumns } from "../../core/budget.ts";
import type { EncodeBatch } from "../../core/encode-batch.ts";
import type { SparseCodes } from "../../core/sparse-codes.ts";
import type { LoopThreads } from "../kernel/loop-threads.ts";
import type { OnePassJob } from "../kernel/one-pass-loop.ts";
import type { OnePassRows } from "./one-pass-rows.ts";

/** Numbers of atoms to subtract from which waking the helpers pays: a megabyte. */
const WORTH_HELP = 1 << 18;

/** Rows that helpers are told of at once. */
const BUNCH = 8;

/** Bytes of columns that stay allocated between batches. */
const KEPT_BYTES = 1 << 24;

/** What makes codes of products. */
interface Parts {
  readonly weights: Pick<Atoms, "d" | "m" | "center">;
  readonly scan: CandidateScan;
  readonly activation: Activation;
  /** Over the atoms of the dictionary. */
  readonly threads: LoopThreads<OnePassJob>;
}

/** Consecutive rows of a batch, and the products of each with the encoder's matrix. */
interface ProductRows {
  readonly from: number;
  readonly to: number;
  /** [to − from, m] in memory of the scan's room, where that gave some */
  readonly products: Float32Array;
}

/**
 * Makes codes of a one-pass encoder within their budgets (docs/algorithm.md, One-pass encoders). A row without a limit keeps
 * all its active atoms. Another grows atom by atom in order of falling contribution |a_j| · ||D_j||, the lower index first
 * on a tie, until a limit is met; the trace is that order. Residuals are known where rows have a target.
 */
export class OnePassCodes {
  readonly #parts: Parts;
  readonly #height: number;
  #columns: JobColumns | null = null;

  /** @param height the most rows at once */
  constructor(parts: Parts, height: number) {
    this.#parts = parts;
    this.#height = height;
  }

  /**
   * Looks for the active atoms of one row after another; helpers make codes of the rows that are ready meanwhile.
   * @param constant [count, d] what decode adds to a transcoder's codes; null: the centre, to every row
   */
  make(
    { from, to, products }: ProductRows,
    rows: OnePassRows,
    batch: EncodeBatch,
    constant: Float32Array | null,
  ): SparseCodes {
    const { weights, threads } = this.#parts;
    const { d, m } = weights;
    const count = to - from;
    const columns = (this.#columns ??= new JobColumns(this.#height, m, d, threads.count > 1));
    const job = columns.jobOf(rows, batch, from, to);
    const first = Math.min(BUNCH, count);
    const find = (i: number): void => this.#findActive(job, i, products, batch.budgets.group[from + i]!);
    for (let i = 0; i < first; i++) find(i);
    const worth = (job.indptr[first]! / first) * count * d >= WORTH_HELP;
    threads.run(job, threads.count > 1 && worth, (ready) => {
      for (let i = first; i < count; i++) {
        if (i % BUNCH === 0) ready(i);
        find(i);
      }
    });
    const codes = {
      count,
      width: m,
      ...codesOf(job),
      ...(rows.norm && { norm: sliceNorm(rows.norm, from, to) }),
      ...(batch.reconstruction && { reconstruction: this.#reconstructed(job, rows, constant, from) }),
    };
    if (columns.bytesUsed(job) > KEPT_BYTES) this.#columns = null;
    return codes;
  }

  /** Appends the active atoms of row i, ascending. Leaves out values that are not finite: no answer could carry them. */
  #findActive({ indptr, indices, values }: OnePassJob, i: number, products: Float32Array, group: number): void {
    const { activation, scan, weights } = this.#parts;
    const { value } = activation;
    const start = i * weights.m;
    const { atoms, scores } = scan.candidates(products.subarray(start, start + (group || weights.m)));
    let at = indptr[i]!;
    for (let k = 0; k < atoms.length; k++) {
      const own = value(scores[k]!, atoms[k]!);
      if (own === 0 || !(Math.abs(own) < Infinity)) continue;
      indices[at] = atoms[k]!;
      values[at++] = own;
    }
    indptr[i + 1] = at;
  }

  /** [count, d] x̂ in the space of the posted rows: the target without its residual, and what decode adds. */
  #reconstructed(
    { count, residuals }: OnePassJob,
    { target, norm }: OnePassRows,
    constant: Float32Array | null,
    from: number,
  ): Float32Array {
    const { d, center } = this.#parts.weights;
    const rows = new Float32Array(count * d);
    for (let i = 0, at = 0, all = from * d; i < count; i++) {
      const scale = norm?.scale[from + i] ?? 1;
      const shift = norm?.shift[from + i] ?? 0;
      for (let c = 0; c < d; c++, at++, all++) {
        const added = constant === null ? (center?.[c] ?? 0) : constant[all]!;
        rows[at] = ((target?.[all] ?? 0) - residuals[at]! + added) * scale + shift;
      }
    }
    return rows;
  }
}

const sliceNorm = ({ shift, scale }: NonNullable<OnePassRows["norm"]>, from: number, to: number) => ({
  shift: shift.subarray(from, to),
  scale: scale.subarray(from, to),
});

/**
 * Memory of a job's columns for the most rows with every atom active, used by one batch after another: new memory for each
 * would cost more than the codes. Pages that were never written take no RAM.
 */
class JobColumns {
  readonly #d: number;
  readonly #entries: number;
  readonly #Memory: typeof SharedArrayBuffer | typeof ArrayBuffer;
  readonly #target: Float32Array;
  readonly #indptr: Uint32Array;
  readonly #indices: Uint32Array;
  readonly #values: Float32Array;
  readonly #kept: Uint32Array;
  readonly #stops: Uint8Array;
  readonly #norms: Float32Array;
  readonly #errors: Float32Array;
  #trace: OnePassJob["trace"] = null;
  #residuals: Float64Array = new Float64Array(0);

  /** @param shared by threads */
  constructor(height: number, m: number, d: number, shared: boolean) {
    this.#d = d;
    this.#entries = height * m;
    this.#Memory = shared ? SharedArrayBuffer : ArrayBuffer;
    this.#target = this.#floats(height * d);
    this.#indptr = this.#integers(height + 1);
    this.#indices = this.#integers(this.#entries);
    this.#values = this.#floats(this.#entries);
    this.#kept = this.#integers(height);
    this.#stops = new Uint8Array(new this.#Memory(height));
    this.#norms = this.#floats(height);
    this.#errors = this.#floats(height);
  }

  /** A job for rows [from, to) of a batch; no row has active atoms yet. */
  jobOf(
    { target }: OnePassRows,
    { budgets, trace, reconstruction }: EncodeBatch,
    from: number,
    to: number,
  ): OnePassJob {
    const count = to - from;
    const d = this.#d;
    const measured = target === null ? 0 : count;
    if (target !== null) this.#target.set(target.subarray(from * d, to * d));
    if (trace)
      this.#trace ??= {
        indices: this.#integers(this.#entries),
        values: this.#floats(this.#entries),
        norms: this.#floats(this.#entries),
      };
    const residuals = reconstruction ? count * d : 0;
    if (this.#residuals.length < residuals) this.#residuals = new Float64Array(new this.#Memory(8 * residuals));
    return {
      count,
      target: target === null ? null : this.#target,
      ...limitsOf(budgets, from, to),
      indptr: this.#indptr,
      indices: this.#indices,
      values: this.#values,
      kept: this.#kept.subarray(0, count),
      stops: this.#stops.subarray(0, count),
      residualNorms: this.#norms.subarray(0, measured),
      relativeErrors: this.#errors.subarray(0, measured),
      trace: trace ? this.#trace : null,
      residuals: this.#residuals.subarray(0, residuals),
    };
  }

  /** Of a finished job. */
  bytesUsed({ count, indptr, trace, residuals }: OnePassJob): number {
    return indptr[count]! * (trace === null ? 8 : 20) + residuals.byteLength;
  }

  readonly #floats = (length: number): Float32Array => new Float32Array(new this.#Memory(4 * length));
  readonly #integers = (length: number): Uint32Array => new Uint32Array(new this.#Memory(4 * length));
}

const limitsOf = ({ maxAtoms, tolerance, residualNorm, minGain }: BudgetColumns, from: number, to: number) => ({
  maxAtoms: maxAtoms.slice(from, to),
  tolerance: tolerance.slice(from, to),
  residualNorm: residualNorm.slice(from, to),
  minGain: minGain.slice(from, to),
});

/** Copies of the columns of finished codes, without the entries that were not kept. */
function codesOf(job: OnePassJob): Omit<SparseCodes, "count" | "width"> {
  const { count, kept, trace, target } = job;
  const indptr = new Uint32Array(count + 1);
  for (let i = 0; i < count; i++) indptr[i + 1] = indptr[i]! + kept[i]!;
  const whole = indptr[count] === job.indptr[count];
  const joined = <Column extends Float32Array | Uint32Array>(column: Column): Column => {
    const all = new (column.constructor as new (length: number) => Column)(indptr[count]!);
    if (whole) all.set(column.subarray(0, indptr[count]));
    else {
      for (let i = 0; i < count; i++) {
        const from = job.indptr[i]!;
        all.set(column.subarray(from, from + kept[i]!), indptr[i]);
      }
    }
    return all;
  };
  const measured = target !== null;
  return {
    indptr,
    indices: joined(job.indices),
    values: joined(job.values),
    steps: kept.slice(),
    stops: job.stops.slice(),
    ...(measured && { residualNorms: job.residualNorms.slice(), relativeErrors: job.relativeErrors.slice() }),
    ...(trace && {
      trace: {
        indptr: indptr.slice(),
        indices: joined(trace.indices),
        values: joined(trace.values),
        ...(measured && { residualNorms: joined(trace.norms) }),
      },
    }),
  };
}
