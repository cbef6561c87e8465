import type { Budget, RequestBudget } from "../../engine/core/budget.ts";
import type { RequestEncoder } from "../../engine/core/dictionary.ts";
import type { Rows } from "../../engine/core/rows.ts";
import { readBoolean, readParameters } from "./infer-route.ts";
import { parseJson } from "../../codecs/parse-json.ts";
import { tensorsExtent } from "../../codecs/extent.ts";
import {
  type BodyLimits,
  checkCount,
  describe,
  invalid,
  named,
  type RowLimits,
  WireError,
} from "../../codecs/codec-error.ts";
import {
  type OutputName,
  postedTensor,
  type PostedTensor,
  readFloats,
  readNumbers,
  STANDARD_OUTPUTS,
} from "./tensor.ts";

/** The body of an inference request, with the facts needed to read it. */
export interface InferBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /**
   * `Inference-Header-Content-Length`: bytes of JSON before the binary data; null: all of it is JSON. 0 is the raw
   * form: no JSON, the whole body is the rows as FP32.
   */
  readonly headerLength: number | null;
  /** Row length. */
  readonly d: number;
  readonly limits: BodyLimits;
  /** Names of the dictionary's inputs and outputs. */
  readonly inputs: readonly string[];
  readonly outputs: readonly OutputName[];
}

/** An output to put into the answer. */
export interface WantedOutput {
  readonly name: OutputName;
  readonly binary: boolean;
}

/** An inference request, read and checked in form. */
export interface InferRequest {
  readonly id: string | null;
  readonly rows: Rows;
  readonly budget: RequestBudget;
  /** In the order of the answer. */
  readonly outputs: readonly WantedOutput[];
  readonly timeoutMs: number | null;
  /** Whether its rows may be given fewer atoms under load. */
  readonly degrade: boolean;
  /** Another encoder than the dictionary's own; null: its own. */
  readonly encoder: RequestEncoder | null;
}

/** Maximum characters of a request's id, which is echoed. */
const MAX_ID = 4096;

/** @throws WireError */
export function readInfer(body: InferBytes): InferRequest {
  const { bytes, headerLength, limits, inputs, d } = body;
  if (headerLength === 0) return readRaw(body);
  if (headerLength !== null && headerLength > bytes.length) {
    throw new WireError(
      "PURSUIT_WRONG_LENGTH",
      `Inference-Header-Content-Length is ${headerLength}; the body holds ${bytes.length} bytes.`,
    );
  }
  const json = headerLength === null ? bytes : bytes.subarray(0, headerLength);
  const request = parseJson(json, tensorsExtent(limits, d));
  if (typeof request !== "object" || request === null || Array.isArray(request)) {
    throw invalid(`The body must be a JSON object; it is ${describe(request)}.`);
  }
  // Other fields, such as KServe's model_name, repeat the path or belong to other servers.
  const { id, inputs: posted, outputs, parameters } = request as Record<string, unknown>;
  const isId = id === undefined || id === null || Number.isInteger(id);
  if (!isId && !(typeof id === "string" && id.length <= MAX_ID)) {
    throw invalid(`id must be text of at most ${MAX_ID} characters; it is ${describe(id)}.`);
  }
  const { budget, timeoutMs, binary, degrade, encoder } = readParameters(parameters);
  const tensors = readInputs(posted, inputs, binaryData(bytes, headerLength));
  const rows = rowsOf(tensors.get("rows"), d, limits);
  return {
    id: typeof id === "number" ? String(id) : ((id as string | null | undefined) ?? null),
    rows,
    budget: withColumns(budget, tensors, rows.count),
    outputs: readOutputs(outputs, body.outputs, binary),
    timeoutMs,
    degrade,
    encoder,
  };
}

/** The whole body is the one required tensor. */
function readRaw({ bytes, d, limits, outputs: known }: InferBytes): InferRequest {
  const width = d * 4;
  if (bytes.length === 0 || bytes.length % width !== 0) {
    const message = `The body is ${bytes.length} bytes; with Inference-Header-Content-Length: 0 it is rows of ${d} FP32 numbers, ${width} bytes each.`;
    throw new WireError("PURSUIT_WRONG_LENGTH", message);
  }
  const count = bytes.length / width;
  checkCount(count, limits, "The body");
  const tensor = {
    name: "rows",
    datatype: "FP32",
    shape: [count, d],
    length: count * d,
    bytes,
    data: undefined,
  } as const;
  const outputs = standardOutputs(known, true);
  const rows = { data: readFloats(tensor), count, width: d };
  return { id: null, rows, budget: null, outputs, timeoutMs: null, degrade: false, encoder: null };
}

/** Hands out the binary data after the JSON, in the order of the inputs. */
function binaryData(bytes: Uint8Array, headerLength: number | null) {
  let at = headerLength ?? bytes.length;
  return {
    take: (size: number, name: string): Uint8Array => {
      if (headerLength === null) {
        throw invalid(
          `Input ${name} is binary data; say where it begins by the header Inference-Header-Content-Length.`,
        );
      }
      if (at + size > bytes.length) {
        const message = `Input ${name} takes ${size} bytes of binary data; ${bytes.length - at} are left of the body.`;
        throw new WireError("PURSUIT_WRONG_LENGTH", message);
      }
      return bytes.subarray(at, (at += size));
    },
    end: (): void => {
      if (at === bytes.length) return;
      const message = `${bytes.length - at} bytes follow the last input's binary data; binary_data_size says how long each is.`;
      throw new WireError("PURSUIT_WRONG_LENGTH", message);
    },
  };
}

function readInputs(
  inputs: unknown,
  known: readonly string[],
  binary: ReturnType<typeof binaryData>,
): ReadonlyMap<string, PostedTensor> {
  if (!Array.isArray(inputs)) throw invalid(`inputs must be a list of tensors; it is ${describe(inputs)}.`);
  const tensors = new Map<string, PostedTensor>();
  for (const [i, input] of inputs.entries()) {
    const tensor = postedTensor(input, `inputs[${i}]`, known, binary.take);
    if (tensors.has(tensor.name)) throw invalid(`Input ${tensor.name} is there twice.`);
    tensors.set(tensor.name, tensor);
  }
  binary.end();
  return tensors;
}

function rowsOf(tensor: PostedTensor | undefined, d: number, limits: RowLimits): Rows {
  if (tensor === undefined) throw invalid("The input rows is missing.");
  const { shape } = tensor;
  const [count, width] = shape as [number, number];
  if (shape.length !== 2) throw invalid(`Input rows must be of shape [n, ${d}]; it is [${shape.join(", ")}].`);
  if (width !== d) {
    const message = `Input rows is [${count}, ${width}]; this dictionary takes rows of ${d}. Check the model, layer and hook.`;
    throw new WireError("PURSUIT_WRONG_WIDTH", message);
  }
  if (count === 0) throw invalid("Input rows holds no rows.");
  checkCount(count, limits, "Input rows");
  return { data: readFloats(tensor), count, width };
}

type Mutable<T> = { -readonly [P in keyof T]: T[P] };

/** Inputs that are budgets, one entry per row, and their internal names. */
const COLUMNS = { max_atoms: "maxAtoms", tolerance: "tolerance" } as const;

function withColumns(budget: Budget | null, tensors: ReadonlyMap<string, PostedTensor>, count: number): RequestBudget {
  const columns = Object.entries(COLUMNS).flatMap(([name, part]) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) return [];
    if (budget?.[part] !== undefined) throw invalid(`${name} is an input and a parameter; send one of them.`);
    const { shape } = tensor;
    if (shape[0] !== count || shape.length > 2 || (shape[1] ?? 1) !== 1) {
      const wanted = `[${count}], one entry for each of the rows`;
      throw invalid(`Input ${name} must be of shape ${wanted}; it is [${shape.join(", ")}].`);
    }
    return [{ part, numbers: readNumbers(tensor, part === "maxAtoms") }];
  });
  if (columns.length === 0) return budget;
  return Array.from({ length: count }, (_, row) => {
    const own: Mutable<Budget> = { ...budget };
    for (const { part, numbers } of columns) own[part] = numbers[row]!;
    return own;
  });
}

/** Standard outputs of the dictionary: a transcoder has no residual figures here. */
const standardOutputs = (known: readonly OutputName[], binary: boolean): readonly WantedOutput[] =>
  STANDARD_OUTPUTS.filter((name) => known.includes(name)).map((name) => ({ name, binary }));

function readOutputs(outputs: unknown, known: readonly OutputName[], binary: boolean): readonly WantedOutput[] {
  if (outputs === undefined || outputs === null || (Array.isArray(outputs) && outputs.length === 0)) {
    return standardOutputs(known, binary);
  }
  if (!Array.isArray(outputs)) throw invalid(`outputs must be a list of {"name"}; it is ${describe(outputs)}.`);
  const seen = new Set<OutputName>();
  return outputs.map((output: unknown, i) => {
    const { name, parameters } = (typeof output === "object" && output !== null ? output : {}) as {
      readonly name?: unknown;
      readonly parameters?: Readonly<Record<string, unknown>> | null;
    };
    const found = known.find((one) => one === name);
    if (found === undefined) {
      const given = typeof name === "string" ? named(name) : `outputs[${i}].name: ${describe(name)}`;
      throw invalid(`There is no output ${given}; there are ${known.join(", ")}.`);
    }
    if (seen.has(found)) throw invalid(`Output ${found} is asked for twice.`);
    seen.add(found);
    return { name: found, binary: outputForm(parameters, found, binary) };
  });
}

/** Whether an output is binary: by its own setting, or else the request's. */
function outputForm(parameters: unknown, name: string, binary: boolean): boolean {
  if (parameters === undefined || parameters === null) return binary;
  const { binary_data: own, ...rest } = parameters as Record<string, unknown>;
  const shared = Object.keys(rest).find((key) => key.startsWith("shared_memory"));
  if (shared !== undefined) {
    throw invalid(`Output ${name}: ${named(shared)}: this server writes no shared memory; it answers in the body.`);
  }
  if (typeof rest["classification"] === "number" && rest["classification"] > 0) {
    throw invalid(`Output ${name}: classification is not offered; a code names its atoms in indices.`);
  }
  return own === undefined ? binary : readBoolean(own, `Output ${name}: binary_data`);
}
