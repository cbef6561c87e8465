import { unpack } from "msgpackr";
import { STOP_REASONS } from "../../src/engine/core/sparse-codes.ts";

/** A code read from any format, each number as float32. */
export interface WireCode {
  readonly indices: readonly number[];
  readonly values: readonly number[];
  readonly steps: number;
  readonly residual_norm: number;
  readonly relative_error: number;
  readonly stop: string;
  readonly norm?: { readonly shift: number; readonly scale: number };
  readonly trace?: { readonly indices: number[]; readonly values: number[]; readonly residual_norms: number[] };
  readonly reconstruction?: readonly number[];
  readonly correlations?: { readonly indices: number[]; readonly values: number[] };
}

type Numbers = readonly number[];
type Dict = Record<string, unknown>;

const DTYPES = { float32: Float32Array, uint32: Uint32Array, uint8: Uint8Array } as const;

/** `{data, dtype, shape}` as flat numbers; anything else unchanged. */
function numbers(value: unknown): Numbers {
  if (Array.isArray(value)) return value as Numbers;
  const { data, dtype } = value as { data: Uint8Array; dtype: keyof typeof DTYPES };
  return [...new DTYPES[dtype](new Uint8Array(data).buffer)];
}

const floats = (value: unknown): Numbers => numbers(value).map(Math.fround);

export interface Tensors {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: Readonly<
    Record<string, { readonly dtype: string; readonly shape: number[]; readonly data: readonly number[] }>
  >;
}

/** Reads safetensors as its specification describes it, offsets checked. */
export function readSafetensors(bytes: Uint8Array): Tensors {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const { __metadata__: metadata, ...entries } = JSON.parse(
    Buffer.from(bytes.subarray(8, 8 + length)).toString("utf8"),
  ) as Record<string, Dict>;
  let end = 0;
  const tensors = Object.entries(entries).map(([name, entry]) => {
    const { dtype, shape, data_offsets: offsets } = entry as { dtype: string; shape: number[]; data_offsets: number[] };
    const [from, to] = offsets as [number, number];
    if (from !== end) throw new Error(`tensor ${name} begins at ${from}, the one before it ended at ${end}`);
    end = to;
    const part = new Uint8Array(bytes.subarray(8 + length + from, 8 + length + to));
    const data =
      dtype === "F32" ? new Float32Array(part.buffer) : dtype === "U32" ? new Uint32Array(part.buffer) : part;
    if (data.length !== shape.reduce((product, size) => product * size, 1))
      throw new Error(`tensor ${name} is not whole`);
    const tensor = { dtype, shape, data: [...data] };
    return [name, tensor] as const;
  });
  if (8 + length + end !== bytes.length) throw new Error("bytes follow the last tensor");
  return { metadata: metadata as Record<string, string>, tensors: Object.fromEntries(tensors) };
}

/** The entries of a dense row. */
const sparse = (row: Numbers): { indices: Numbers; values: Numbers } => {
  const indices = row.flatMap((value, index) => (value === 0 ? [] : [index]));
  return { indices, values: indices.map((index) => row[index]!) };
};

const slices = (indptr: Numbers, list: Numbers): Numbers[] => indptr.slice(1).map((to, i) => list.slice(indptr[i], to));

const chunks = (list: Numbers, count: number): Numbers[] =>
  Array.from({ length: count }, (_, i) => list.slice((i * list.length) / count, ((i + 1) * list.length) / count));

/** One code of a list, or a line. */
function fromRow(row: Dict, format: string): WireCode {
  const { norm, trace, reconstruction, correlations } = row as {
    norm?: Record<string, number>;
    trace?: Dict;
    reconstruction?: unknown;
    correlations?: Dict;
  };
  const { indices, values } = entriesOf(row, format);
  return {
    indices,
    values,
    steps: row["steps"] as number,
    residual_norm: Math.fround(row["residual_norm"] as number),
    relative_error: Math.fround(row["relative_error"] as number),
    stop: row["stop"] as string,
    ...(norm && { norm: { shift: Math.fround(norm["shift"]!), scale: Math.fround(norm["scale"]!) } }),
    ...(trace && {
      trace: {
        indices: [...numbers(trace["indices"])],
        values: [...floats(trace["values"])],
        residual_norms: [...floats(trace["residual_norms"])],
      },
    }),
    ...(reconstruction !== undefined && { reconstruction: floats(reconstruction) }),
    ...(correlations && {
      correlations: {
        indices: [...numbers(correlations["indices"])],
        values: [...floats(correlations["values"])],
      },
    }),
  };
}

function entriesOf(row: Dict, format: string): { indices: Numbers; values: Numbers } {
  if (format === "sparse") return { indices: numbers(row["indices"]), values: floats(row["values"]) };
  if (format === "dense") return sparse(floats(row["values"]));
  const entries = Object.entries(row["values"] as Record<string, number>).toSorted(([a], [b]) => Number(a) - Number(b));
  return { indices: entries.map(([index]) => Number(index)), values: entries.map(([, value]) => Math.fround(value)) };
}

/** Format csr of JSON and MessagePack: columns. */
function fromColumns(answer: Dict): WireCode[] {
  const indptr = numbers(answer["indptr"]);
  const count = indptr.length - 1;
  const indices = slices(indptr, numbers(answer["indices"]));
  const values = slices(indptr, floats(answer["values"]));
  const norms = answer["norm"] as Dict | Dict[] | undefined;
  const traces = answer["trace"] as Dict | Dict[] | undefined;
  const reconstructions = answer["reconstruction"];
  const correlated = answer["correlations"] as Dict | Dict[] | undefined;
  const column = (name: string): Numbers => numbers(answer[name]);
  const row = (i: number): Dict => ({
    indices: indices[i],
    values: values[i],
    steps: column("steps")[i],
    residual_norm: column("residual_norm")[i],
    relative_error: column("relative_error")[i],
    stop: (answer["stop"] as string[])[i],
    ...(norms && { norm: Array.isArray(norms) ? norms[i] : fromNormColumns(norms, i) }),
    ...(traces && { trace: Array.isArray(traces) ? traces[i] : fromTraceColumns(traces, i) }),
    ...(reconstructions !== undefined && {
      reconstruction: Array.isArray(reconstructions)
        ? (reconstructions as Numbers[])[i]
        : chunks(numbers(reconstructions), count)[i],
    }),
    ...(correlated && {
      correlations: Array.isArray(correlated) ? correlated[i] : fromCorrelationColumns(correlated, count, i),
    }),
  });
  return Array.from({ length: count }, (_, i) => fromRow(row(i), "sparse"));
}

const fromCorrelationColumns = ({ indices, values }: Dict, count: number, i: number): Dict => ({
  indices: chunks(numbers(indices), count)[i],
  values: chunks(floats(values), count)[i],
});

const fromNormColumns = (norm: Dict, i: number): Dict => ({
  shift: numbers(norm["shift"])[i],
  scale: numbers(norm["scale"])[i],
});

function fromTraceColumns(trace: Dict, i: number): Dict {
  const indptr = numbers(trace["indptr"]);
  const part = (name: string): Numbers => slices(indptr, numbers(trace[name]))[i]!;
  return { indices: part("indices"), values: part("values"), residual_norms: part("residual_norms") };
}

function fromTensors({ metadata, tensors }: Tensors): WireCode[] {
  const column = (name: string): Numbers => tensors[name]!.data;
  const count = tensors["steps"]!.shape[0]!;
  const names = JSON.parse(metadata["stop_names"]!) as string[];
  if (JSON.stringify(names) !== JSON.stringify(STOP_REASONS)) throw new Error(`stop_names are ${names.join()}`);
  const entries =
    "indptr" in tensors
      ? slices(column("indptr"), column("indices")).map((indices, i) => ({
          indices,
          values: slices(column("indptr"), column("values"))[i]!,
        }))
      : chunks(column("values"), count).map(sparse);
  return entries.map(({ indices, values }, i) => ({
    indices,
    values,
    steps: column("steps")[i]!,
    residual_norm: column("residual_norm")[i]!,
    relative_error: column("relative_error")[i]!,
    stop: names[column("stop")[i]!]!,
    ...("norm_shift" in tensors && { norm: { shift: column("norm_shift")[i]!, scale: column("norm_scale")[i]! } }),
    ...("trace_indptr" in tensors && {
      trace: {
        indices: [...slices(column("trace_indptr"), column("trace_indices"))[i]!],
        values: [...slices(column("trace_indptr"), column("trace_values"))[i]!],
        residual_norms: [...slices(column("trace_indptr"), column("trace_residual_norms"))[i]!],
      },
    }),
    ...("reconstruction" in tensors && { reconstruction: chunks(column("reconstruction"), count)[i]! }),
    ...("correlations_indices" in tensors && {
      correlations: {
        indices: [...chunks(column("correlations_indices"), count)[i]!],
        values: [...chunks(column("correlations_values"), count)[i]!],
      },
    }),
  }));
}

/** Reads the codes of an encode answer in any format. */
export function readCodes(contentType: string, format: string, bytes: Buffer): WireCode[] {
  const [media] = contentType.split(";");
  if (media === "application/vnd.safetensors") return fromTensors(readSafetensors(bytes));
  if (media === "application/x-ndjson") {
    const lines = bytes.toString("utf8").split("\n");
    if (lines.pop() !== "") throw new Error("the last line has no end");
    return lines.map((line) => fromRow(JSON.parse(line) as Dict, format));
  }
  const answer = (media === "application/msgpack" ? unpack(bytes) : JSON.parse(bytes.toString("utf8"))) as Dict;
  if (format === "csr") return fromColumns(answer);
  return (answer["codes"] as Dict[]).map((code) => fromRow(code, format));
}
