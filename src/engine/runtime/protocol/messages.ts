import type { FaultCode } from "../../core/errors.ts";
import type {
  DictionaryManifest,
  CoherenceFigures,
  Neighbour,
  PursuitChoice,
  PursuitPath,
  RuntimeChoice,
  ValueRange,
} from "../../core/dictionary.ts";
import type { Interval, Span } from "../../core/telemetry.ts";

/** Tells a runtime process what to load, once, at its start. */
export interface LoadOptions {
  /** The dictionary's folder, to read its weights. */
  readonly folder: string;
  /** The server's manifest, which it checks requests by: a restarted process encodes by the same one. */
  readonly manifest: DictionaryManifest;
  readonly runtime: "auto" | "cpu" | "cuda";
  /** `auto` follows the rule of runtime/sessions/choose-path.ts. */
  readonly path: "auto" | PursuitPath;
  /** Largest Gram matrix in bytes that `auto` may build. */
  readonly gramLimit: number;
  /** Threads of the session's own pool. */
  readonly threads: number;
  /** Folder for temporary files; created when needed. */
  readonly cacheDir: string;
  /** Encode by pursuit over the decoder instead of the dictionary's own encoder. Always on CPU. */
  readonly overDecoder?: boolean;
}

/** Result of encoding one row after the load: proves that the session works and seeds the cost model. */
export interface WarmUp {
  readonly steps: number;
  readonly milliseconds: number;
}

/** Facts of a loaded dictionary. */
export interface LoadedFacts {
  readonly chosen: RuntimeChoice;
  readonly coherence: CoherenceFigures;
  /** Of the atoms, where the encoder has thresholds. */
  readonly thresholds?: ValueRange;
  /** Identity of the version, hex. */
  readonly sha256: string;
  /** SHA-256 of the weights file, hex. Earlier releases bound steering sets to it. */
  readonly fileSha256: string;
  readonly warnings: readonly string[];
  /** Sentences for the log, such as why CUDA is unavailable. */
  readonly notes: readonly string[];
  readonly warmUp: WarmUp;
}

/**
 * `broken`: the dictionary itself; another try fails too. `shortage`: the machine lacks something for now. `memory`: an
 * allocation failed; a smaller try may succeed.
 */
export type LoadFailureCause = Extract<FaultCode, "broken" | "shortage" | "memory" | "runtime">;

/** A call, as every head of one begins. */
interface CallHead extends Span {
  readonly id: number;
}

/** When a call ran, on the machine's clock ({@link machineNow}), and the trace context that it came with. */
export type Run = Interval & Span;

/** Server → runtime process. Columns are named beside each. */
export type RequestHead =
  | { readonly type: "load"; readonly options: LoadOptions }
  /** rows f32, maxAtoms i32, tolerance f64, residualNorm f64, minGain f64, group i32 */
  | (CallHead & {
      readonly type: "encode";
      readonly count: number;
      readonly trace: boolean;
      readonly reconstruction: boolean;
      readonly pursuit?: PursuitChoice;
    })
  /** indptr u32, indices u32, values f32, and shift f32, scale f32 under an input norm */
  | (CallHead & { readonly type: "decode"; readonly count: number })
  /** as steerColumns writes them */
  | (CallHead & { readonly type: "steer"; readonly count: number })
  /** rows f32; answered by indices u32, values f32 */
  | (CallHead & { readonly type: "correlations"; readonly count: number; readonly most: number })
  /** indices u32 */
  | (CallHead & { readonly type: "atoms" })
  | (CallHead & { readonly type: "neighbours"; readonly index: number; readonly count: number })
  /** rows f32 [d_out]: one row */
  | (CallHead & { readonly type: "nearest"; readonly count: number })
  | (CallHead & { readonly type: "norms" })
  /** Builds the next block of the Gram matrix. */
  | (CallHead & { readonly type: "gram_step" })
  | { readonly type: "close" };

/** Runtime process → server. */
export type ReplyHead =
  | { readonly type: "loaded"; readonly facts: LoadedFacts }
  | { readonly type: "load_failed"; readonly faults: readonly string[]; readonly cause: LoadFailureCause }
  /** Columns as in columns.ts for encode; rows f32 for decode and atoms; norms f64; steeredColumns for steer. */
  | {
      readonly type: "result";
      readonly id: number;
      readonly run: Run;
      readonly count?: number;
      readonly width?: number;
      readonly neighbours?: readonly Neighbour[];
      readonly gram?: GramProgress;
    }
  | { readonly type: "error"; readonly id: number; readonly message: string };

/** State of a session after a block of its Gram matrix. */
export interface GramProgress {
  readonly chosen: RuntimeChoice;
  readonly coherence: CoherenceFigures;
  /** Whether blocks are left. */
  readonly more: boolean;
  /** A line for the log. */
  readonly note?: string;
}
