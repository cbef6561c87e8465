import type { RequestBudget } from "./budget.ts";
import type { PursuitChoice, RequestEncoder } from "./dictionary.ts";
import type { Edit } from "./edits.ts";
import type { Rows } from "./rows.ts";

export interface SteerRequest {
  readonly rows: Rows;
  readonly budget: RequestBudget;
  /** Encoder of the codes that are edited; absent: the dictionary's own. */
  readonly encoder?: RequestEncoder;
  /** Name of a kept set, whose edits come first. */
  readonly set?: string;
  readonly edits: readonly Edit[];
  /** Rows that edits without rows of their own apply to; absent: all. */
  readonly only?: readonly number[];
  readonly effect: boolean;
}

export interface SteerAnswer {
  readonly rows: Rows;
  /** [n] ||y − x|| */
  readonly norms: Float64Array;
  readonly effect?: SteerEffect;
  /** The pursuit that made the codes; absent: the dictionary's own encoder, or no code was needed. */
  readonly pursuit?: PursuitChoice;
  readonly sha256: string;
}

/** What edits did to each row, and what the steered row's own code says of it. e edits, those of the set first. */
export interface SteerEffect {
  /** [e] the feature, −1 for a vector */
  readonly features: Int32Array;
  /** How many of the edits are the set's. */
  readonly fromSet: number;
  /**
   * [n · e] the coefficient (a direction edit: the component of the row along its direction) just before the edit and
   * just after it; NaN where the edit does not apply to the row.
   */
  readonly before: Float64Array;
  readonly after: Float64Array;
  readonly moved: MovedFeatures;
}

/** Features whose coefficients differ between the codes of two batches, in compressed-row form. */
export interface MovedFeatures {
  /** [n + 1] */
  readonly indptr: Uint32Array;
  readonly indices: Uint32Array;
  readonly before: Float32Array;
  readonly after: Float32Array;
}

/** A named set of edits, kept across restarts. */
interface NamedSet {
  readonly name: string;
  /** Version of the dictionary that it was made for. */
  readonly sha256: string;
  /** Changes with everything that the set says. */
  readonly version: string;
  /** The dictionary is another version now: the set is refused until it is saved again. */
  readonly stale: boolean;
}

export interface SteeringSet extends NamedSet {
  /** As JSON. */
  readonly edits: string;
}

/** A set without its edits. */
export interface SetSummary extends NamedSet {
  /** How many. */
  readonly edits: number;
  /** Of its file. */
  readonly bytes: number;
}

/** A part of a list of sets. */
export interface SetPage {
  /** Begins behind this name; "" begins at the first. */
  readonly after: string;
  readonly limit: number;
}

/** What a write asks of the set that is there: its version, or null where there is none. */
export type Expects = (version: string | null) => boolean;

/** Named sets of edits of every dictionary. */
export interface SteeringSets {
  /** By name. @throws EngineError PURSUIT_DICTIONARY_NOT_FOUND */
  list(id: string, page: SetPage): Promise<readonly SetSummary[]>;
  /** @throws EngineError PURSUIT_STEERING_SET_NOT_FOUND */
  find(id: string, name: string): Promise<SetSummary>;
  /** @throws EngineError PURSUIT_STEERING_SET_NOT_FOUND, PURSUIT_STATE_FAILED */
  get(id: string, name: string): Promise<SteeringSet>;
  /**
   * Resolves once the set is on the disk. Every method rejects with PURSUIT_STATE_UNAVAILABLE while the database is lost.
   * @throws EngineError PURSUIT_INVALID_EDIT, PURSUIT_PRECONDITION_FAILED, PURSUIT_STATE_FULL, PURSUIT_STATE_DISK_FULL,
   * PURSUIT_STATE_FAILED
   */
  save(
    id: string,
    name: string,
    edits: readonly Edit[],
    expects: Expects,
  ): Promise<{ set: SteeringSet; created: boolean }>;
  /** @throws EngineError PURSUIT_STEERING_SET_NOT_FOUND, PURSUIT_PRECONDITION_FAILED, PURSUIT_STATE_FAILED */
  delete(id: string, name: string, expects: Expects): Promise<void>;
}
