import type { PursuitSettings } from "./dictionary.ts";

/** A dictionary in memory: what a session is built from. */
export interface DictionaryWeights {
  /** Row length. */
  readonly d: number;
  /** Number of atoms. */
  readonly m: number;
  /** [m, d], row j is atom j, not necessarily of unit norm. */
  readonly atoms: Float32Array;
  /** [d], present exactly when `settings.center`. */
  readonly center: Float32Array | null;
  readonly settings: PursuitSettings;
}
