import { InferenceSession } from "onnxruntime-node";
import type { ExternalTensor } from "../graph/graph-builder.ts";

export interface OnnxSessionOptions {
  readonly runtime: "cpu" | "cuda";
  /** Threads of the session's own pool. */
  readonly threads: number;
}

/** A session over a model in memory, with its weights beside it. @throws Error when the runtime refuses. */
export function createOnnxSession(
  { model, external }: { readonly model: Uint8Array; readonly external: readonly ExternalTensor[] },
  { runtime, threads }: OnnxSessionOptions,
): Promise<InferenceSession> {
  return InferenceSession.create(model, {
    executionProviders: runtime === "cuda" ? ["cuda"] : ["cpu"],
    externalData: external.map(({ name, data }) => ({ path: name, data })),
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // Threads that spin while they wait take the core from the runtime of another dictionary: with three on two cores
    // that halved the rows per second.
    extra: { session: { intra_op: { allow_spinning: "0" } } },
    logSeverityLevel: 3,
  });
}
