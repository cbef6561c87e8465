import { Fault, shortageOf } from "../../core/errors.ts";
import type { Room } from "../../dictionaries/formats/safetensors.ts";
import { loadWeights } from "../../dictionaries/weights.ts";
import { specOf } from "../../encoders/registry.ts";
import { allocateAtoms } from "../kernel/atom-residual.ts";
import type { DictionaryWeights } from "../../core/dictionary-weights.ts";
import type { LoadedFacts, LoadFailureCause, LoadOptions, WarmUp } from "../protocol/messages.ts";
import type { BatchSession, EncoderSession } from "./encoder-session.ts";
import { cudaFault, inspectCudaProvider } from "../onnx/cuda-provider.ts";
import { choosePath, runsOn } from "../sessions/choose-path.ts";
import { createDecoderPursuit, createEncoderSession } from "../sessions/create-session.ts";

/**
 * Reads a dictionary's weights, checks them, builds its session and proves it by encoding a row.
 * @throws Fault with everything wrong with the folder; Error when the runtime refuses
 */
export async function loadSession(options: LoadOptions): Promise<{
  session: BatchSession | EncoderSession;
  facts: LoadedFacts;
}> {
  const { weights, sha256, fileSha256, warnings } = await loadWeights(
    options.folder,
    options.manifest,
    roomFor(options),
  );
  const notes: string[] = [];
  const session = await createOnRuntime(weights, options, notes);
  const warmUp = await encodeOneRow(session, weights);
  const { chosen, coherence } = session;
  const facts = { chosen, coherence, ...thresholdsOf(weights), sha256, fileSha256, warnings, notes, warmUp };
  return { session, facts };
}

/** Atoms of a one-pass encoder are read to where they stay, if that is in shared memory. */
function roomFor({ manifest, threads, overDecoder = false }: LoadOptions): Room | undefined {
  if (overDecoder || specOf(manifest).family === "pursuit") return undefined;
  const { m, dOut: d } = manifest;
  return (name) => (name === "atoms" ? allocateAtoms({ m, d }, threads) : null);
}

function thresholdsOf({ tensors }: DictionaryWeights): Pick<LoadedFacts, "thresholds"> {
  const values = tensors?.["threshold"];
  if (values === undefined) return {};
  const range = { min: Infinity, max: -Infinity };
  for (const value of values) {
    range.min = Math.min(range.min, value);
    range.max = Math.max(range.max, value);
  }
  return { thresholds: range };
}

/** Messages of V8, WebAssembly, the C++ library and ONNX Runtime for a failed allocation. */
const NO_MEMORY = /allocation failed|could not allocate memory|failed to allocate memory|bad_alloc/i;

/** Describes a failed load: the dictionary's faults one by one, or the error's own message; and the cause. */
export function loadFailure(error: unknown): {
  readonly faults: readonly string[];
  readonly cause: LoadFailureCause;
} {
  const shortage = shortageOf(error);
  if (shortage !== null) return { faults: [`It could not be loaded: ${shortage}.`], cause: "shortage" };
  if (error instanceof Fault) return { faults: error.faults, cause: "broken" };
  const words = error instanceof Error ? error.message : String(error);
  return { faults: [words], cause: NO_MEMORY.test(words) ? "memory" : "runtime" };
}

async function createOnRuntime(
  weights: DictionaryWeights,
  options: LoadOptions,
  notes: string[],
): Promise<BatchSession | EncoderSession> {
  const { threads, gramLimit, cacheDir, overDecoder = false } = options;
  const create = (runtime: "cpu" | "cuda"): Promise<BatchSession | EncoderSession> => {
    const path = options.path === "auto" ? choosePath(weights.m, { runtime, gramLimit }) : options.path;
    // A session on CUDA may fail, and one on CPU then needs the weights.
    const how = { ownsWeights: runtime === "cpu", runtime, path, threads, cacheDir };
    return overDecoder ? createDecoderPursuit(weights, how) : createEncoderSession(weights, how);
  };
  if (overDecoder) return create("cpu");
  const pathOnCuda = options.path === "auto" || runsOn(options.path, "cuda");
  if (!pathOnCuda && options.runtime === "cuda") {
    throw new Error(`PURSUIT_PATH ${options.path} runs on CPU only. On cuda use auto, gram or residual.`);
  }
  if (options.runtime === "cpu" || !pathOnCuda) return create("cpu");
  const fault = cudaFault(await inspectCudaProvider());
  if (fault === null) {
    try {
      return await create("cuda");
    } catch (error) {
      if (options.runtime === "cuda") throw error;
      notes.push(`Running on CPU: CUDA did not start (${error instanceof Error ? error.message : String(error)}).`);
      return create("cpu");
    }
  }
  if (options.runtime === "cuda") throw new Error(`PURSUIT_RUNTIME is cuda, but ${fault}`);
  notes.push(`Running on CPU: ${fault}`);
  return create("cpu");
}

/** Steps of the warm-up: enough to measure a step's cost beside the dense pass. */
const WARM_UP_STEPS = 8;

/** Encodes the sum of the first atoms, twice: the first run pays for the runtime's lazy set-up. */
async function encodeOneRow(session: BatchSession, weights: DictionaryWeights): Promise<WarmUp> {
  const { atoms, center, d, dIn = d, m } = weights;
  // A transcoder's row may be longer or shorter than its atoms.
  const rows = new Float32Array(dIn);
  for (let j = 0; j < Math.min(m, WARM_UP_STEPS); j++) {
    for (let i = 0; i < dIn; i++) rows[i]! += atoms[j * d + (i % d)]! / (j + 1);
  }
  if (center !== null) for (let i = 0; i < dIn; i++) rows[i]! += center[i % d]!;
  const batch = {
    rows,
    count: 1,
    budgets: {
      maxAtoms: Int32Array.of(WARM_UP_STEPS),
      tolerance: new Float64Array(1),
      residualNorm: new Float64Array(1),
      minGain: new Float64Array(1),
      group: new Int32Array(1),
    },
    trace: false,
    reconstruction: false,
  };
  await session.encode(batch);
  const started = performance.now();
  const { steps } = await session.encode(batch);
  return { steps: steps[0] ?? 0, milliseconds: performance.now() - started };
}
