import { Fault } from "../../core/errors.ts";
import type { InputNorm, Reselect, Role, Score } from "../../core/dictionary.ts";

/** Layouts of dictionaries as people have them. */
export const SOURCES = ["sae-lens", "sparsify", "overcomplete", "mp-sae", "atoms"] as const;
export type Source = (typeof SOURCES)[number];

/** Kinds of encoder that bare atoms can be given; relu names overcomplete's SAE. */
export const IMPORT_KINDS = ["matching_pursuit", "orthogonal_matching_pursuit", "relu"] as const;
type ImportKind = (typeof IMPORT_KINDS)[number];

/**
 * overcomplete's normalisations of `dictionary._weights` (overcomplete/sae/dictionary.py): by the row's l2 or l1 norm,
 * or by the largest of all rows; `identity` leaves the atoms as they are.
 */
export const NORMALIZATIONS = ["l2", "max_l2", "l1", "max_l1", "identity"] as const;
export type Normalization = (typeof NORMALIZATIONS)[number];

/** What a user says beside the file. A flag wins over the file, and is shown as what it is. */
export interface ImportFlags {
  /** The state dict inside a checkpoint, where it holds several. */
  readonly key?: string;
  readonly from?: Source;
  /** What bare atoms are encoded by, matching pursuit if not given; or the class of overcomplete. */
  readonly kind?: ImportKind;
  /** What a layout that cannot tell predicts: the row itself, or another activation. */
  readonly role?: Role;
  /** Scores of an orthogonal pursuit are not divided by the atoms' norms. */
  readonly rawScores?: boolean;
  /** Atoms that a row keeps, where the files do not say. */
  readonly k?: number;
  /** The layer of a set whose layers write to one another. */
  readonly layer?: number;
  /** Threshold of every atom, where the files do not say. */
  readonly threshold?: number;
  /** Whether negative values among the k largest, or over a negative threshold, are dropped. */
  readonly rectify?: boolean;
  /** The factor that scales rows, where the files do not say. */
  readonly normFactor?: number;
  readonly score?: Score;
  readonly reselect?: Reselect;
  readonly normalize?: Normalization;
  /** null: `none`. */
  readonly maxAtoms?: number | null;
  readonly residualThreshold?: number;
  readonly inputNorm?: InputNorm;
  /** Subtract the file's bias before the pursuit and add it back in decode. */
  readonly center?: boolean;
  /** Compute in float32 although the dictionary's own code computes in another precision. */
  readonly float32?: boolean;
}

/** Settings that a layout may leave open, as flags with what they take. */
export const FLAG_VALUES = {
  from: `--from ${SOURCES.join("|")}`,
  k: "--k <n>",
  layer: "--layer <n>",
  threshold: "--threshold <number>",
  rectify: "--rectify or --no-rectify",
  normFactor: "--norm-factor <number>",
  score: "--score relu|signed|absolute",
  reselect: "--reselect stop|add|forbid",
  rawScores: "--raw-scores or --no-raw-scores",
  normalize: `--normalize ${NORMALIZATIONS.join("|")}`,
  maxAtoms: "--max-atoms <n>|none",
  residualThreshold: "--residual-threshold <number>, 0 for none",
  inputNorm: "--input-norm none|layer_norm|constant_norm_rescale",
  center: "--center or --no-center",
} as const satisfies Partial<Record<keyof ImportFlags, string>>;

/** Asks for settings that neither the file nor a flag gives. @param flags as `FLAG_VALUES` has them */
export const missingFlags = (layout: string, flags: Iterable<string>): Fault =>
  new Fault("missing_flags", [
    `${layout} does not say how its encoder works, and nothing is guessed. Add:`,
    ...Array.from(flags, (flag) => `  ${flag}`),
  ]);
