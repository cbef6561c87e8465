import { type DictionaryManifest, makesItsRow } from "../../engine/core/dictionary.ts";
import { decodeFloats, type FloatType } from "../../engine/core/float-formats.ts";
import { describe, invalid, named, WireError } from "../../codecs/codec-error.ts";

/** Tensors of the Open Inference Protocol: their datatypes, and the inputs and outputs of a dictionary. */

/** Bytes of one number, little-endian. */
export const NUMBER_BYTES = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  BF16: 2,
  FP32: 4,
  FP64: 8,
} as const;
type NumberType = keyof typeof NUMBER_BYTES;
/** BYTES: each text after its length, uint32. */
type Datatype = NumberType | "BYTES";

export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype;
  /** −1: as many as there are rows, or atoms. */
  readonly shape: readonly number[];
  /** Inputs only: whether a request may leave it out. */
  readonly optional?: boolean;
}

/**
 * `rows`, and budgets with one entry per row. Budgets are declared as [n, 1] and accepted as [n] too: perf_analyzer
 * fails if nothing is left of an input's shape without its batch.
 */
export function inputTensors({ dIn }: DictionaryManifest): readonly TensorSpec[] {
  return [
    { name: "rows", datatype: "FP32", shape: [-1, dIn] },
    { name: "max_atoms", datatype: "INT32", shape: [-1, 1], optional: true },
    { name: "tolerance", datatype: "FP32", shape: [-1, 1], optional: true },
  ];
}

/** Outputs of an answer to a request that names none. */
export const STANDARD_OUTPUTS = ["indices", "values", "atoms", "relative_error", "stop"] as const;

/** All outputs, the standard ones first. */
export const OUTPUTS = [...STANDARD_OUTPUTS, "steps", "residual_norm", "reconstruction", "shift", "scale"] as const;
export type OutputName = (typeof OUTPUTS)[number];

/** `shift` and `scale` exist for dictionaries with an input norm, whose decode needs them. */
export function outputTensors({
  dOut,
  role,
  encoder,
}: DictionaryManifest): readonly (TensorSpec & { name: OutputName })[] {
  const perRow = [-1];
  // A transcoder's residual needs targets, which this protocol lacks, and its input norm is not undone.
  const measured = makesItsRow(role);
  return [
    { name: "indices", datatype: "INT32", shape: [-1, -1] },
    { name: "values", datatype: "FP32", shape: [-1, -1] },
    { name: "atoms", datatype: "INT32", shape: perRow },
    ...(measured ? [{ name: "relative_error", datatype: "FP32", shape: perRow } as const] : []),
    { name: "stop", datatype: "BYTES", shape: perRow },
    { name: "steps", datatype: "INT32", shape: perRow },
    ...(measured ? [{ name: "residual_norm", datatype: "FP32", shape: perRow } as const] : []),
    { name: "reconstruction", datatype: "FP32", shape: [-1, dOut] },
    ...(encoder.inputNorm === "none" || !measured
      ? []
      : ([
          { name: "shift", datatype: "FP32", shape: perRow },
          { name: "scale", datatype: "FP32", shape: perRow },
        ] as const)),
  ];
}

/** One posted input: its head is checked, its numbers are not read yet. */
export interface PostedTensor {
  readonly name: string;
  readonly datatype: NumberType;
  readonly shape: readonly number[];
  /** Product of `shape`. */
  readonly length: number;
  /** Its binary data, of the length given by datatype and shape; null if it came as JSON. */
  readonly bytes: Uint8Array | null;
  readonly data: unknown;
}

/** Maximum length of a shape; every tensor here has one or two sizes. */
const MAX_RANK = 8;

/**
 * Checks an input's head and finds its binary data.
 * @param take returns the next bytes of the binary part; throws if there are too few
 * @throws WireError PURSUIT_INVALID_FIELD, PURSUIT_WRONG_LENGTH
 */
export function postedTensor(
  input: unknown,
  at: string,
  known: readonly string[],
  take: (bytes: number, name: string) => Uint8Array,
): PostedTensor {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    throw invalid(`${at} must be {"name", "shape", "datatype", "data"}; it is ${describe(input)}.`);
  }
  const { name, shape, datatype, parameters, data, ...rest } = input as Record<string, unknown>;
  if (typeof name !== "string" || !known.includes(name)) {
    throw invalid(
      `There is no input ${typeof name === "string" ? named(name) : describe(name)}; there are ${known.join(", ")}.`,
    );
  }
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw invalid(`Input ${name} has no field ${named(unknown)}.`);
  if (datatype === "BYTES") throw invalid(`Input ${name} holds numbers; BYTES holds none.`);
  if (typeof datatype !== "string" || !Object.hasOwn(NUMBER_BYTES, datatype)) {
    throw invalid(`Input ${name}: datatype must be one of the protocol's; it is ${describe(datatype)}.`);
  }
  const type = datatype as NumberType;
  const sizes = readShape(shape, name);
  const length = sizes.reduce((product, size) => product * size, 1);
  const size = binarySize(parameters, name);
  if (size === null) {
    if (data === undefined) throw invalid(`Input ${name} has neither data nor parameters.binary_data_size.`);
    return { name, datatype: type, shape: sizes, length, bytes: null, data };
  }
  if (data !== undefined) throw invalid(`Input ${name} has data and parameters.binary_data_size; send one of them.`);
  const expected = length * NUMBER_BYTES[type];
  if (size !== expected) {
    const said = `Input ${name}: binary_data_size is ${size}; shape [${sizes.join(", ")}] of ${type} takes ${expected}.`;
    const hint = size === expected * 2 && type === "FP32" ? " It is twice as long: is it FP64?" : "";
    throw new WireError("PURSUIT_WRONG_LENGTH", said + hint);
  }
  return { name, datatype: type, shape: sizes, length, bytes: take(size, name), data: undefined };
}

function readShape(shape: unknown, name: string): readonly number[] {
  const valid =
    Array.isArray(shape) &&
    shape.length >= 1 &&
    shape.length <= MAX_RANK &&
    shape.every((size) => Number.isInteger(size) && size >= 0 && size <= 2 ** 31);
  if (!valid)
    throw invalid(
      `Input ${name}: shape must be a list of sizes, 0 or more; it is ${JSON.stringify(shape)?.slice(0, 60) ?? "missing"}.`,
    );
  if (shape.reduce((product: number, size: number) => product * size, 1) > Number.MAX_SAFE_INTEGER) {
    throw invalid(`Input ${name}: its shape is larger than any body.`);
  }
  return shape as number[];
}

function binarySize(parameters: unknown, name: string): number | null {
  if (parameters === undefined || parameters === null) return null;
  if (typeof parameters !== "object" || Array.isArray(parameters)) {
    throw invalid(`Input ${name}: parameters must be an object; it is ${describe(parameters)}.`);
  }
  const { binary_data_size: size, ...rest } = parameters as Record<string, unknown>;
  const shared = Object.keys(rest).find((key) => key.startsWith("shared_memory"));
  if (shared !== undefined) {
    throw invalid(`Input ${name}: ${named(shared)}: this server reads no shared memory; send its data in the body.`);
  }
  if (size === undefined) return null;
  if (!Number.isInteger(size) || (size as number) < 0) {
    throw invalid(`Input ${name}: binary_data_size must be a number of bytes; it is ${describe(size)}.`);
  }
  return size as number;
}

const FLOATS: { readonly [T in NumberType]?: FloatType } = { FP16: "F16", BF16: "BF16", FP32: "F32", FP64: "F64" };

/**
 * Reads a tensor's numbers as float32. FP16 and BF16 are exact, FP64 is rounded.
 * @throws WireError PURSUIT_INVALID_FIELD, PURSUIT_WRONG_LENGTH
 */
export function readFloats(tensor: PostedTensor): Float32Array<ArrayBuffer> {
  const { name, datatype, length, bytes } = tensor;
  const type = FLOATS[datatype];
  if (type === undefined) throw invalid(`Input ${name} takes FP32, FP64, FP16 or BF16; it is ${datatype}.`);
  if (bytes === null) {
    if (type === "F16" || type === "BF16") throw notInJson(tensor);
    checkLength(tensor);
    return fillFrom(tensor, new Float32Array(length), () => true, "a number");
  }
  const floats = new Float32Array(length);
  decodeFloats(bytes, type, floats);
  return floats;
}

/** Reads a tensor's numbers as budgets, of any number type. @throws WireError as above */
export function readNumbers(tensor: PostedTensor, integers: boolean): Float64Array {
  const { name, datatype, length, bytes } = tensor;
  if (datatype === "BOOL" || (integers && datatype in FLOATS)) {
    throw invalid(
      `Input ${name} takes ${integers ? "INT32 or another integer type" : "FP32 or another number type"}; it is ${datatype}.`,
    );
  }
  const numbers = new Float64Array(length);
  if (bytes === null) {
    if (datatype === "FP16" || datatype === "BF16") throw notInJson(tensor);
    checkLength(tensor);
    return integers
      ? fillFrom(tensor, numbers, Number.isInteger, "an integer")
      : fillFrom(tensor, numbers, () => true, "a number");
  }
  const type = FLOATS[datatype];
  if (type === "F64" || type === undefined) {
    const read = READERS[datatype as keyof typeof READERS];
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = 0; i < length; i++) numbers[i] = read(view, i * NUMBER_BYTES[datatype]);
  } else {
    const floats = new Float32Array(length);
    decodeFloats(bytes, type, floats);
    numbers.set(floats);
  }
  return numbers;
}

const READERS = {
  UINT8: (view, at) => view.getUint8(at),
  UINT16: (view, at) => view.getUint16(at, true),
  UINT32: (view, at) => view.getUint32(at, true),
  UINT64: (view, at) => Number(view.getBigUint64(at, true)),
  INT8: (view, at) => view.getInt8(at),
  INT16: (view, at) => view.getInt16(at, true),
  INT32: (view, at) => view.getInt32(at, true),
  INT64: (view, at) => Number(view.getBigInt64(at, true)),
  FP64: (view, at) => view.getFloat64(at, true),
} as const satisfies { readonly [T in NumberType]?: (view: DataView, at: number) => number };

const notInJson = ({ name, datatype }: PostedTensor): WireError =>
  invalid(`Input ${name}: JSON has no ${datatype}; send it as binary data (parameters.binary_data_size), or as FP32.`);

/** Before allocating: a shape is a few digits, and may claim gigabytes. */
function checkLength({ name, data, shape, length }: PostedTensor): void {
  if (!Array.isArray(data)) throw invalid(`Input ${name}: data must be a list of numbers; it is ${describe(data)}.`);
  const count = countNumbers(data);
  if (count === length) return;
  throw new WireError(
    "PURSUIT_WRONG_LENGTH",
    `Input ${name}: data holds ${count} numbers; shape [${shape.join(", ")}] takes ${length}.`,
  );
}

function countNumbers(data: readonly unknown[]): number {
  let count = data.length;
  for (const part of data) if (Array.isArray(part)) count += countNumbers(part) - 1;
  return count;
}

/** Flat or nested, row-major: both are in use. */
function fillFrom<T extends Float32Array | Float64Array>(
  { name, data }: PostedTensor,
  into: T,
  allowed: (value: number) => boolean,
  wanted: string,
): T {
  let at = 0;
  const fill = (values: readonly unknown[]): void => {
    for (const value of values) {
      if (typeof value === "number" && allowed(value)) into[at++] = value;
      else if (Array.isArray(value)) fill(value);
      else throw invalid(`Input ${name}: number ${at} of its data must be ${wanted}; it is ${describe(value)}.`);
    }
  };
  fill(data as readonly unknown[]);
  return into;
}
