import type { PursuitChoice } from "../../engine/core/dictionary.ts";
import { type SparseCodes, STOP_REASONS } from "../../engine/core/sparse-codes.ts";
import type { WantedOutput } from "./read-infer.ts";
import { shortestFloats } from "../../codecs/write-codes.ts";
import type { OutputName } from "./tensor.ts";
import { floatsBytes } from "../../codecs/answers.ts";

export interface InferAnswerHead {
  readonly model: string;
  readonly version: string;
  /** The request's, echoed. */
  readonly id: string | null;
  readonly outputs: readonly WantedOutput[];
  /** The pursuit that made the codes; absent: the dictionary's own encoder. */
  readonly encoder?: PursuitChoice;
  /** Row length. */
  readonly d: number;
}

/** An answer's bytes, and how many of them are JSON: null, all of them. */
export interface InferAnswer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly headerLength: number | null;
}

/** One output: numbers row-major, or a text per row. */
type Column =
  | { readonly datatype: "INT32"; readonly shape: readonly number[]; readonly data: Int32Array }
  | { readonly datatype: "FP32"; readonly shape: readonly number[]; readonly data: Float32Array }
  | { readonly datatype: "BYTES"; readonly shape: readonly number[]; readonly data: readonly string[] };

/** An inference answer: JSON, and after it the data of the outputs that are asked for in binary, in their order. */
export function writeInfer(codes: SparseCodes, head: InferAnswerHead): InferAnswer {
  const parts: Uint8Array[] = [];
  const outputs = head.outputs.map(({ name, binary }) => {
    const { datatype, shape, data } = columnOf(name, codes, head.d);
    if (!binary)
      return { name, datatype, shape, data: data instanceof Float32Array ? shortestFloats(data) : [...data] };
    const bytes = ArrayBuffer.isView(data)
      ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : texts(data);
    parts.push(bytes);
    return { name, datatype, shape, parameters: { binary_data_size: bytes.length } };
  });
  const { model, version, id, encoder } = head;
  const about = { model_name: model, model_version: version, ...(id !== null && { id }) };
  const json = new TextEncoder().encode(
    JSON.stringify({ ...about, ...(encoder && { parameters: parametersOf(encoder) }), outputs }),
  );
  if (!head.outputs.some(({ binary }) => binary)) return { bytes: json, headerLength: null };
  return { bytes: join([json, ...parts]), headerLength: json.length };
}

/** Values of parameters are single ones. */
const parametersOf = ({ kind, ...settings }: PursuitChoice): object => ({ encoder: kind, ...settings });

/** Every row of `indices` and `values` is as long as the longest: at least one, since some clients fail at a size of 0. */
function longest({ indptr, count }: SparseCodes): number {
  let k = 1;
  for (let i = 0; i < count; i++) k = Math.max(k, indptr[i + 1]! - indptr[i]!);
  return k;
}

function columnOf(name: OutputName, codes: SparseCodes, d: number): Column {
  const { count, indptr } = codes;
  switch (name) {
    case "indices": {
      const { buffer, byteOffset, length } = codes.indices;
      // Atoms are numbered far below 2^31: the same bytes are both.
      const signed = new Int32Array(buffer, byteOffset, length);
      return { datatype: "INT32", ...padded(codes, signed, new Int32Array(count * longest(codes)).fill(-1)) };
    }
    case "values":
      return { datatype: "FP32", ...padded(codes, codes.values, new Float32Array(count * longest(codes))) };
    case "atoms": {
      const data = Int32Array.from({ length: count }, (_, i) => indptr[i + 1]! - indptr[i]!);
      return { datatype: "INT32", shape: [count], data };
    }
    case "steps":
      return { datatype: "INT32", shape: [count], data: Int32Array.from(codes.steps) };
    case "stop":
      return { datatype: "BYTES", shape: [count], data: Array.from(codes.stops, (stop) => STOP_REASONS[stop]!) };
    case "relative_error":
      return { datatype: "FP32", shape: [count], data: present(codes.relativeErrors, name) };
    case "residual_norm":
      return { datatype: "FP32", shape: [count], data: present(codes.residualNorms, name) };
    case "reconstruction":
      return { datatype: "FP32", shape: [count, d], data: present(codes.reconstruction, name) };
    case "shift":
    case "scale":
      return { datatype: "FP32", shape: [count], data: present(codes.norm?.[name], name) };
  }
}

/** [nnz] of rows of any length → [count, k], what is left of a row being what `into` holds already. */
function padded<T extends Int32Array | Float32Array>({ indptr, count }: SparseCodes, flat: T, into: T) {
  const k = into.length / count;
  for (let i = 0; i < count; i++) into.set(flat.subarray(indptr[i], indptr[i + 1]), i * k);
  return { shape: [count, k], data: into };
}

function present(column: Float32Array | undefined, name: string): Float32Array {
  if (column === undefined) throw new Error(`the codes were made without ${name}`);
  return column;
}

/** Texts as the protocol's BYTES: each with its length before it, uint32. */
function texts(values: readonly string[]): Uint8Array {
  return join(
    values.flatMap((value) => {
      const text = new TextEncoder().encode(value);
      const length = new Uint8Array(4);
      new DataView(length.buffer).setUint32(0, text.length, true);
      return [length, text];
    }),
  );
}

function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Bytes of an answer's head, of an output's head, of an entry: an index, a count or a stop reason in either form. */
const HEAD_BYTES = 640;
const OUTPUT_BYTES = 160;
const ENTRY_BYTES = 20;
/** Of a letter that JSON escapes. */
const LETTER_BYTES = 6;

/** Bytes that an answer will take, from above. */
export function inferBytes(codes: SparseCodes, { id, outputs }: Pick<InferAnswerHead, "id" | "outputs">): number {
  const { count } = codes;
  const cells = count * longest(codes);
  let bytes = HEAD_BYTES + (id?.length ?? 0) * LETTER_BYTES + outputs.length * OUTPUT_BYTES;
  for (const { name, binary } of outputs) {
    const floats = (column: Float32Array | undefined): number =>
      column === undefined ? 0 : binary ? column.byteLength : floatsBytes(column);
    if (name === "indices") bytes += cells * (binary ? 4 : 11);
    else if (name === "values")
      bytes += binary ? cells * 4 : floatsBytes(codes.values) + (cells - codes.values.length) * 2;
    else if (name === "reconstruction") bytes += floats(codes.reconstruction);
    else if (name === "relative_error") bytes += floats(codes.relativeErrors);
    else if (name === "residual_norm") bytes += floats(codes.residualNorms);
    else bytes += count * ENTRY_BYTES;
  }
  return bytes;
}
