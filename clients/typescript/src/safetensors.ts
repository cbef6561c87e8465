/** A tensor of an answer: a view of its bytes. */
export interface Tensor {
  readonly data: Float32Array | Uint32Array | Uint8Array;
  readonly shape: readonly number[];
}

export interface Safetensors {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

const VIEWS: Readonly<Record<string, (buffer: ArrayBuffer, at: number, bytes: number) => Tensor["data"]>> = {
  F32: (buffer, at, bytes) => new Float32Array(buffer, at, bytes / 4),
  U32: (buffer, at, bytes) => new Uint32Array(buffer, at, bytes / 4),
  U8: (buffer, at, bytes) => new Uint8Array(buffer, at, bytes),
};

/**
 * Reads a safetensors answer: the length of the header in eight bytes, the header, the tensors.
 * @throws Error where it is not one
 */
export function readSafetensors(buffer: ArrayBuffer): Safetensors {
  const length = buffer.byteLength < 8 ? Infinity : Number(new DataView(buffer).getBigUint64(0, true));
  if (8 + length > buffer.byteLength) throw new Error("The answer is cut off: it is shorter than its header says.");
  const text = new TextDecoder().decode(new Uint8Array(buffer, 8, length));
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(text) as Record<string, Entry> & {
    readonly __metadata__?: Readonly<Record<string, string>>;
  };
  const tensors = new Map<string, Tensor>();
  for (const [name, entry] of Object.entries(entries)) {
    const { dtype, shape, data_offsets: offsets } = entry;
    const view = VIEWS[dtype];
    const [from, to] = [8 + length + offsets[0], 8 + length + offsets[1]];
    if (view === undefined || to > buffer.byteLength) throw new Error(`The answer's tensor ${name} cannot be read.`);
    // A view has to begin at a multiple of its numbers' size.
    const aligned = from % 4 === 0 || dtype === "U8";
    const data = aligned ? view(buffer, from, to - from) : view(buffer.slice(from, to), 0, to - from);
    tensors.set(name, { data, shape });
  }
  return { tensors, metadata };
}
