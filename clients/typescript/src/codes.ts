import type { Safetensors, Tensor } from "./safetensors.ts";
import type { PostedCsrCodes, SparseCode } from "./schema.ts";

export type Stop = SparseCode["stop"];

/** One row's code. */
export interface Code {
  readonly indices: Uint32Array;
  readonly values: Float32Array;
  readonly steps: number;
  readonly stop: Stop;
  /** ‖r‖; undefined for a transcoder without targets, as the next. */
  readonly residualNorm: number | undefined;
  /** ‖r‖ / ‖x − b‖ */
  readonly relativeError: number | undefined;
  /** Texts beside the indices, null for none; undefined where `include` did not ask for labels. */
  readonly labels: readonly (string | null)[] | undefined;
  /** Every selection in order; undefined where `include` did not ask for it. */
  readonly trace: Trace | undefined;
  /** x̂, d_out numbers; undefined where `include` did not ask for it. */
  readonly reconstruction: Float32Array | undefined;
}

export interface Trace {
  readonly indices: Uint32Array;
  readonly values: Float32Array;
  /** ‖r‖ after each selection. */
  readonly residualNorms: Float32Array | undefined;
}

/** Codes of n rows over m atoms as a sparse matrix in CSR form: row i holds entries indptr[i] to indptr[i + 1]. */
export class Codes {
  readonly dictionary: string;
  /** Version of the dictionary. */
  readonly sha256: string;
  /** [n, m] */
  readonly shape: readonly [number, number];
  /** [n + 1] */
  readonly indptr: Uint32Array;
  /** Ascending in each row. */
  readonly indices: Uint32Array;
  readonly values: Float32Array;
  /** Set where the rows are explained much worse than the dictionary's held-out rows. */
  readonly warning: string | undefined;
  /** Of each part that was sent; its columns by their names on the wire. */
  readonly #parts: readonly Safetensors[];
  readonly #starts: readonly number[];
  /** Parsed once for each part, not for each row. */
  readonly #texts: { readonly labels: readonly (string | null)[] | undefined; readonly stops: readonly Stop[] }[] = [];

  /** @param parts safetensors answers of the same dictionary, in the order of their rows; one at least */
  constructor(parts: readonly Safetensors[]) {
    const { dictionary = "", sha256 = "", shape = "[0,0]" } = parts[0]!.metadata;
    const counts = parts.map(({ tensors }) => tensors.get("indptr")!.data.length - 1);
    const [, width] = JSON.parse(shape) as [number, number];
    this.dictionary = dictionary;
    this.sha256 = sha256;
    this.shape = [counts.reduce((sum, count) => sum + count, 0), width];
    this.warning = parts.map(({ metadata }) => metadata["warning"]).find((warning) => warning !== undefined);
    this.#parts = parts;
    let start = 0;
    this.#starts = counts.map((count) => (start += count) - count);
    this.indices = join(parts, "indices", Uint32Array);
    this.values = join(parts, "values", Float32Array);
    this.indptr = new Uint32Array(this.shape[0] + 1);
    let [row, entries] = [0, 0];
    for (const { tensors } of parts) {
      const { data } = tensors.get("indptr")!;
      for (let i = 1; i < data.length; i++) this.indptr[++row] = entries + data[i]!;
      entries += data.at(-1)!;
    }
  }

  get length(): number {
    return this.shape[0];
  }

  /** Mean active atoms of a row. */
  get meanAtoms(): number {
    return this.values.length / this.length;
  }

  /** @throws RangeError for a row that there is not */
  row(i: number): Code {
    if (!Number.isInteger(i) || i < 0 || i >= this.length)
      throw new RangeError(`There is no row ${i} of ${this.length}.`);
    const at = this.#starts.findLastIndex((start) => start <= i);
    const { tensors, metadata } = this.#parts[at]!;
    const { labels, stops } = (this.#texts[at] ??= textsOf(metadata));
    const local = i - this.#starts[at]!;
    const one = (name: string): number | undefined => tensors.get(name)?.data[local];
    const entries = range(tensors.get("indptr")!, local);
    return {
      indices: tensors.get("indices")!.data.subarray(...entries) as Uint32Array,
      values: tensors.get("values")!.data.subarray(...entries) as Float32Array,
      steps: one("steps")!,
      stop: stops[one("stop")!]!,
      residualNorm: one("residual_norm"),
      relativeError: one("relative_error"),
      labels: labels?.slice(...entries),
      trace: traceOf(tensors, local),
      reconstruction: matrixRow(tensors.get("reconstruction"), local),
    };
  }

  /** As decode takes them: JSON.stringify(codes) works, too. */
  toJSON(): PostedCsrCodes & { readonly sha256: string } {
    const column = (name: string): number[] => this.#parts.flatMap(({ tensors }) => [...tensors.get(name)!.data]);
    const normed = this.#parts[0]!.tensors.has("norm_shift");
    return {
      sha256: this.sha256,
      indptr: [...this.indptr],
      indices: [...this.indices],
      values: [...this.values],
      ...(normed && { norm: { shift: column("norm_shift"), scale: column("norm_scale") } }),
    };
  }

  *[Symbol.iterator](): IterableIterator<Code> {
    for (let i = 0; i < this.length; i++) yield this.row(i);
  }
}

const textsOf = ({ labels, stop_names: stops }: Safetensors["metadata"]) => ({
  labels: labels === undefined ? undefined : (JSON.parse(labels) as readonly (string | null)[]),
  stops: JSON.parse(stops!) as readonly Stop[],
});

const range = ({ data }: Tensor, i: number): [number, number] => [data[i]!, data[i + 1]!];

function matrixRow(matrix: Tensor | undefined, i: number): Float32Array | undefined {
  const width = matrix?.shape[1];
  return width === undefined ? undefined : (matrix!.data.subarray(i * width, (i + 1) * width) as Float32Array);
}

function traceOf(tensors: Safetensors["tensors"], i: number): Trace | undefined {
  const indptr = tensors.get("trace_indptr");
  if (indptr === undefined) return undefined;
  const entries = range(indptr, i);
  return {
    indices: tensors.get("trace_indices")!.data.subarray(...entries) as Uint32Array,
    values: tensors.get("trace_values")!.data.subarray(...entries) as Float32Array,
    residualNorms: tensors.get("trace_residual_norms")?.data.subarray(...entries) as Float32Array | undefined,
  };
}

function join<T extends Uint32Array | Float32Array>(
  parts: readonly Safetensors[],
  name: string,
  Kind: new (length: number) => T,
): T {
  const columns = parts.map(({ tensors }) => tensors.get(name)!.data as T);
  if (columns.length === 1) return columns[0]!;
  const joined = new Kind(columns.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const column of columns) {
    joined.set(column, at);
    at += column.length;
  }
  return joined;
}
