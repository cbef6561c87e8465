import { mkdir, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { byteViews } from "../../core/float-formats.ts";
import type { ExternalTensor } from "./graph-builder.ts";
import { create, toBinary } from "@bufbuild/protobuf";
import { type GraphProto, ModelProtoSchema } from "./onnx_pb.ts";

export interface OnnxSessionOptions {
  readonly runtime: "cpu" | "cuda";
  /** Threads of the session's own pool. */
  readonly threads: number;
  /** Folder for weights that the runtime reads from files only; default: the system's temporary folder. */
  readonly cacheDir?: string;
}

/**
 * Weights of more bytes reach the runtime in files, which it maps: weights in memory it copies. It also refuses tensors in
 * memory over 2 GiB ("declares a size which exceeds the 2147483648 byte limit").
 */
export const MAX_IN_MEMORY = 1 << 30;

/** A model in memory, and its external weights. */
interface Model {
  readonly model: Uint8Array;
  readonly external: readonly ExternalTensor[];
}

/**
 * Creates a session over a model.
 * @param freed called when the weights need not stay in the caller's memory
 * @throws Error when the runtime refuses, or when large weights cannot be written
 */
export async function createOnnxSession(
  model: Model,
  options: OnnxSessionOptions,
  freed: () => void = () => {},
): Promise<InferenceSession> {
  const bytes = model.external.reduce((sum, { data }) => sum + data.byteLength, 0);
  if (bytes > MAX_IN_MEMORY) return createFromFiles(model, options, freed);
  const session = await InferenceSession.create(model.model, {
    ...sessionOptions(options),
    externalData: model.external.map(({ name, data }) => ({
      path: name,
      data: byteViews(data)[0] ?? new Uint8Array(),
    })),
  });
  freed();
  return session;
}

/** Deletes the files once the session exists: it has read them, or holds them open. */
async function createFromFiles(
  { model, external }: Model,
  options: OnnxSessionOptions,
  freed: () => void,
): Promise<InferenceSession> {
  const cache = options.cacheDir ?? tmpdir();
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, "pursuit-weights-"));
  try {
    for (const { name, data } of external) await writeLarge(join(folder, name), data);
    freed();
    const path = join(folder, "model.onnx");
    await writeFile(path, model);
    return await InferenceSession.create(path, sessionOptions(options));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function writeLarge(path: string, data: Float32Array): Promise<void> {
  const handle = await open(path, "wx");
  try {
    for (const view of byteViews(data)) await handle.writeFile(view);
  } finally {
    await handle.close();
  }
}

function sessionOptions({ runtime, threads }: OnnxSessionOptions): InferenceSession.SessionOptions {
  return {
    executionProviders: runtime === "cuda" ? ["cuda"] : ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // Spinning threads take the core from another dictionary's runtime: three on two cores halved the rows per second.
    extra: { session: { intra_op: { allow_spinning: "0" } } },
    logSeverityLevel: 3,
  };
}

/**
 * Reductions take their axes as an input from opset 18. Opset 19 has a new Equal and opset 20 a new ReduceMax, for which the
 * CUDA provider of ONNX Runtime 1.30 has no kernels: each step of the loop would copy to the CPU and back.
 */
const OPSET = 18n;
const IR_VERSION = 8n;

/** Encodes a graph as the bytes of an ONNX model. */
export function encodeModel(graph: GraphProto): Uint8Array {
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: IR_VERSION,
      producerName: "pursuit",
      graph,
      opsetImport: [{ domain: "", version: OPSET }],
    }),
  );
}
