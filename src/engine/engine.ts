import type { RequestBudget } from "./core/budget.ts";
import type { FeatureCodes } from "./core/contrast.ts";
import type { Cancellation } from "./core/cancellation.ts";
import type {
  CoherenceFigures,
  DictionaryManifest,
  InputNorm,
  Neighbour,
  PursuitChoice,
  RequestEncoder,
  RuntimeChoice,
  RuntimeState,
  ValueRange,
} from "./core/dictionary.ts";
import type { Feature, FeatureLabel, FeaturePage, FeatureQuery, FeatureSummary, OwnLabels } from "./core/features.ts";
import type { Span } from "./core/telemetry.ts";
import type { Rows } from "./core/rows.ts";
import type { CodesToDecode, SparseCodes } from "./core/sparse-codes.ts";
import type { SteerAnswer, SteerRequest, SteeringSets } from "./core/steering.ts";

/** Lifecycle of one dictionary version. */
export const DICTIONARY_STATES = ["registered", "loading", "ready", "draining", "failed", "unloaded"] as const;
export type DictionaryState = (typeof DICTIONARY_STATES)[number];

/** One dictionary as the API shows it. A broken folder is listed too: `state: "failed"` with its faults. */
export interface DictionaryStatus {
  readonly id: string;
  readonly state: DictionaryState;
  /** Why it is `failed`, one sentence each; empty otherwise. */
  readonly faults: readonly string[];
  /** What deserves attention but does not stop it, such as norms² ≥ 2. */
  readonly warnings: readonly string[];
  /** Absent when the manifest itself could not be read. */
  readonly manifest?: DictionaryManifest;
  /** What `encoder` of a request may name; absent with the manifest. */
  readonly encoders?: readonly string[];
  /** Selections of one row at most: the manifest's cap or the server's. */
  readonly maxAtoms?: number;
  /** Identity of the version, hex: a digest of weights and encoder settings. */
  readonly sha256?: string;
  readonly labels: boolean;
  readonly chosen?: RuntimeChoice;
  /** Whether it is not loaded now and its next request loads it. */
  readonly onDemand?: boolean;
  /** Of its runtime process; absent where it has none. */
  readonly runtimeState?: RuntimeState;
  readonly coherence?: CoherenceFigures;
  /** Of its atoms, where its encoder has thresholds. */
  readonly thresholds?: ValueRange;
}

/** What every request carries from the start. */
export interface RequestContext {
  /** What telemetry events name the request by. */
  readonly span: Span;
  /** Cancelled when the client goes away. */
  readonly cancellation: Cancellation;
  /** Milliseconds on the engine's clock after which the answer is worthless (504); undefined: none. */
  readonly deadline?: number;
}

export interface EncodeRequest {
  readonly rows: Rows;
  /** [n, d_out] what a transcoder's rows should become: residuals are measured against them. */
  readonly targets?: Rows;
  /** One for all rows, or one per row (length n). */
  readonly budget: RequestBudget;
  readonly trace: boolean;
  readonly reconstruction: boolean;
  /** Of each row's D·(x − b), the so many largest; none if absent. Autoencoders and crosscoders only. */
  readonly correlations?: number;
  /** Whether to compare the rows with the dictionary's reference rows; not if absent. Rows of one budget only. */
  readonly typicality?: boolean;
  /** Whether the answer has `totalVariance`; not if absent. */
  readonly summary?: boolean;
  /** Another encoder than the dictionary's own; absent: its own. */
  readonly encoder?: RequestEncoder;
  /** Whether its rows may be given fewer atoms under load, rather than be refused; not if absent. */
  readonly degrade?: boolean;
}

export interface EncodeAnswer {
  readonly codes: SparseCodes;
  /** The pursuit that made them; absent: the dictionary's own encoder. */
  readonly pursuit?: PursuitChoice;
  /** Σ||x − mean||² over the rows (a transcoder's targets) and their own mean; null unless `summary` is set. */
  readonly totalVariance: number | null;
  /** Set where the rows lie far outside the dictionary's reference figures. */
  readonly warning?: string;
  readonly sha256: string;
}

/** One of two sets to compare: rows to encode, or codes of the dictionary. */
export type ContrastSet = { readonly rows: Rows } | { readonly codes: CodesToDecode };

export interface SetsRequest {
  readonly a: ContrastSet;
  readonly b: ContrastSet;
  /** One for all rows of both sets. */
  readonly budget: RequestBudget;
  /** As in {@link EncodeRequest}. */
  readonly encoder?: RequestEncoder;
}

/** Codes of two sets, of one version of a dictionary. */
export interface SetsAnswer {
  readonly a: FeatureCodes;
  readonly b: FeatureCodes;
  /** Number of features. */
  readonly m: number;
  /** As of {@link EncodeAnswer}; absent also where no rows were encoded. */
  readonly pursuit?: PursuitChoice;
  readonly sha256: string;
}

/** Rows to be carried from one dictionary to another over the same atoms: docs/transfer.md. */
export interface TransferRequest {
  /** The dictionary that the rows belong to, and the one that they are wanted in; of equal m. */
  readonly from: string;
  readonly to: string;
  readonly rows: Rows;
  readonly budget: RequestBudget;
  /** Of the first dictionary; absent: its own. */
  readonly encoder?: RequestEncoder;
  /** As in {@link EncodeRequest}. */
  readonly summary?: boolean;
}

export interface TransferAnswer {
  /** [n, d of `to`] */
  readonly outputs: Rows;
  /** Of `from`. */
  readonly codes: SparseCodes;
  /** As of {@link EncodeAnswer}. */
  readonly pursuit?: PursuitChoice;
  /** Of the rows that were sent, as {@link EncodeAnswer} has it. */
  readonly totalVariance: number | null;
  readonly sha256: { readonly from: string; readonly to: string };
  /** Of `to`. */
  readonly inputNorm: InputNorm;
}

/** Held-out rows of a dictionary to try. */
export interface ExampleRows {
  /** [n, d_in] */
  readonly rows: Rows;
  readonly texts: readonly string[];
}

/**
 * Rules of readiness. `all`: ready once every dictionary that the server owes answers. `any`: ready once one does.
 * The server owes those of its start and those loaded since, until they are unloaded by request.
 */
export const READY_RULES = ["all", "any"] as const;
export type ReadyRule = (typeof READY_RULES)[number];

/** A dictionary counts as answering after a real one-row encode. A draining engine is never ready. */
export interface Readiness {
  readonly ready: boolean;
  /** One sentence; absent when ready. */
  readonly reason?: string;
  /** Owed dictionaries that do not answer now, with their faults; absent when there is none. */
  readonly missing?: readonly Pick<DictionaryStatus, "id" | "state" | "faults" | "runtimeState">[];
}

/**
 * All that routes may see of the engine. Every method that touches a dictionary rejects with an {@link EngineError}:
 * `PURSUIT_DICTIONARY_NOT_FOUND`, `PURSUIT_DICTIONARY_FAILED` (its folder is broken) or `PURSUIT_NOT_READY`.
 */
export interface Engine {
  list(): readonly DictionaryStatus[];
  /** @throws EngineError PURSUIT_DICTIONARY_NOT_FOUND */
  status(id: string): DictionaryStatus;
  /**
   * Keeps a dictionary loaded until the returned function is called; loads it first, where dictionaries are loaded at their first
   * request. null where they are loaded at the start: nothing to wait for.
   * @throws EngineError PURSUIT_DICTIONARY_NOT_FOUND; rejects with PURSUIT_NOT_READY when it takes too long
   */
  hold(id: string): Promise<() => void> | null;
  /**
   * Whether an encode would be queued now, before anything of it is read.
   * @throws EngineError PURSUIT_QUEUE_FULL, PURSUIT_DRAINING
   */
  admit(id: string): void;
  /**
   * Rows → codes. Checks width, finiteness (row and column said) and budgets before anything queues.
   * @throws EngineError PURSUIT_ENCODER_UNAVAILABLE when the dictionary cannot be encoded with by `request.encoder`
   */
  encode(id: string, request: EncodeRequest, context: RequestContext): Promise<EncodeAnswer>;
  /**
   * Rows → codes by one dictionary → rows by another.
   * @throws EngineError PURSUIT_NOT_TRANSFERABLE when they are of different m; and what encode and decode throw
   */
  transfer(request: TransferRequest, context: RequestContext): Promise<TransferAnswer>;
  /** Two sets of rows or codes → the codes of each, for a comparison. Checks what {@link encode} and {@link decode} check. */
  encodeSets(id: string, request: SetsRequest, context: RequestContext): Promise<SetsAnswer>;
  /** Codes → rows [n, d]. */
  decode(id: string, codes: CodesToDecode, context: RequestContext): Promise<Rows>;
  /** Rows + edits → edited rows. Edits are checked before anything queues. @throws EngineError PURSUIT_INVALID_EDIT */
  steer(id: string, request: SteerRequest, context: RequestContext): Promise<SteerAnswer>;
  readonly steering: SteeringSets;
  readonly ownLabels: OwnLabels;
  /** @throws EngineError PURSUIT_FEATURE_NOT_FOUND when index ≥ m. */
  feature(id: string, index: number, context: RequestContext): Promise<Feature>;
  /** Best labels of features, null where one has none. @throws EngineError PURSUIT_NO_LABELS when the dictionary has no labels */
  labels(id: string, indices: Uint32Array): readonly (FeatureLabel | null)[];
  /** Version of what is known of the features: it changes with the weights, the statistics and the labels. */
  featuresVersion(id: string): string;
  /** A page of the features. @throws EngineError PURSUIT_NO_LABELS when the dictionary has no words to search */
  features(id: string, query: FeatureQuery, context: RequestContext): Promise<FeaturePage>;
  /**
   * Features nearest to a row [d_out] less the centre, by cosine with the atom, the nearest first.
   * @throws EngineError PURSUIT_WRONG_WIDTH, PURSUIT_NOT_FINITE
   */
  nearestFeatures(
    id: string,
    rows: Rows,
    count: number,
    context: RequestContext,
  ): Promise<readonly (FeatureSummary & Neighbour)[]>;
  /** Coordinates of all atoms [m, 2]. @throws EngineError PURSUIT_NO_STATISTICS */
  map(id: string): Promise<Float32Array>;
  /** @throws EngineError PURSUIT_NO_EXAMPLES */
  examples(id: string): Promise<ExampleRows>;
  /**
   * Loads a dictionary from its folder in the models folder: one that is new there, was unloaded or has failed; or, of
   * one that is served, whatever its folder holds now. Requests are answered all the while, by the old version until the
   * new one is ready, and what the old one has accepted it still answers. Where the new one cannot be loaded, the old
   * one stays. Resolves when the change is complete.
   * @throws EngineError PURSUIT_DICTIONARY_NOT_FOUND (no such folder), PURSUIT_DICTIONARY_FAILED,
   *   PURSUIT_BEING_REPLACED (another change of it is under way), PURSUIT_DRAINING
   */
  load(id: string): Promise<DictionaryStatus>;
  /**
   * Answers what was accepted, then ends the runtime process. It stays listed, `unloaded`. Resolves when it is.
   * @throws EngineError PURSUIT_DICTIONARY_NOT_FOUND, PURSUIT_BEING_REPLACED
   */
  unload(id: string): Promise<DictionaryStatus>;
  readiness(): Readiness;
  /** Whether it is to end soon: clients should come back over another connection. */
  readonly draining: boolean;
  /** Milliseconds on the clock that deadlines are measured by. */
  now(): number;
}
