/** What is known of features beside their weights: labels, statistics over reference rows, examples. */
import type { Neighbour } from "./dictionary.ts";

/** Characters of a label at most: a sentence, not a page. */
export const MAX_LABEL = 2000;

/** A feature in words. */
export interface FeatureLabel {
  readonly text: string;
  /** Where it comes from: a file's name, or a person; `examples`: made from the top examples. */
  readonly source: string;
  /** How well the text separates the rows that the feature fires on; its meaning is the labeller's to say. */
  readonly score?: number;
  readonly author?: string;
}

/** A reference row, and what the feature's value in its code is. */
export interface FeatureExample {
  /** Its number among the reference rows. */
  readonly row: number;
  readonly value: number;
  /** Absent where the rows came without texts. */
  readonly text?: string;
}

/** A feature's values over the reference rows. All but `rows` and `rate` are over the rows in which it is active. */
export interface FeatureStatistics {
  /** Rows in which it is active. */
  readonly rows: number;
  /** Share of all reference rows. */
  readonly rate: number;
  readonly mean: number;
  /** Value of the largest magnitude. */
  readonly max: number;
  /** Value by quantile, such as "0.5". */
  readonly quantiles: Readonly<Record<string, number>>;
  /** `counts[i]` values lie from edges[i] to edges[i + 1]. */
  readonly histogram: { readonly edges: readonly number[]; readonly counts: readonly number[] };
}

/** A feature that is active in the same rows. */
export interface CoFiring {
  readonly index: number;
  /** How many times as often as two independent features of their rates. */
  readonly lift: number;
  /** Rows in which both are active. */
  readonly count: number;
}

/** How well a feature tells one class of the reference rows from all others. */
export interface ClassSeparation {
  readonly class: string;
  /** Jensen–Shannon distance of its values in and outside the class, base 2: 0 to 1. */
  readonly distance: number;
  /** Average precision of its value as a score for the class. */
  readonly average_precision: number;
}

/** Statistics and examples of one feature. */
export interface FeatureRecord {
  readonly statistics: FeatureStatistics;
  /** Largest values, the largest first. */
  readonly examples: readonly FeatureExample[];
  /** Rows over the range of its values, the largest first. */
  readonly sample: readonly FeatureExample[];
  readonly firesWith: readonly CoFiring[];
  /** Absent where the reference rows have no classes. */
  readonly classes?: readonly ClassSeparation[];
}

/** One line of a list of features. */
export interface FeatureSummary {
  readonly index: number;
  readonly label?: FeatureLabel;
  readonly norm: number;
  readonly rate?: number;
  readonly mean?: number;
  readonly max?: number;
  /** Higher is better; comparable within one search only. */
  readonly relevance?: number;
}

export const FEATURE_SORTS = ["index", "label", "rate", "mean", "max", "norm"] as const;
export type FeatureSort = (typeof FEATURE_SORTS)[number];

export interface FeatureQuery {
  /** Absent: all features. */
  readonly query?: string;
  /** Absent: by relevance where there is a query, by index otherwise. */
  readonly sort?: FeatureSort;
  readonly order?: "asc" | "desc";
  readonly limit: number;
  /** Features of the list to leave out at its start. */
  readonly after: number;
}

export interface FeaturePage {
  readonly features: readonly FeatureSummary[];
  /** Of the whole list. */
  readonly total: number;
}

export interface Feature extends Partial<FeatureRecord> {
  readonly index: number;
  readonly norm: number;
  /** The best first. */
  readonly labels: readonly FeatureLabel[];
  /** Share of rows in which it is active, where that alone is known. */
  readonly rate?: number;
  /** Nearest atoms by cosine, the nearest first, the atom itself left out. */
  readonly neighbours: readonly (Neighbour & { readonly label?: FeatureLabel })[];
  /** Labels of `firesWith`, in its order. */
  readonly firesWithLabels?: readonly (FeatureLabel | undefined)[];
}

/** A label that a person wrote while the server ran. It belongs to one version of the dictionary. */
export interface OwnLabel {
  readonly text: string;
  readonly sha256: string;
  /** Changes with everything that the label says. */
  readonly version: string;
  /** The dictionary is another version now: the label is not shown with its features. */
  readonly stale: boolean;
}

/**
 * Labels that people write. Every method rejects with PURSUIT_DICTIONARY_NOT_FOUND, PURSUIT_FEATURE_NOT_FOUND,
 * PURSUIT_STATE_FAILED or PURSUIT_STATE_UNAVAILABLE.
 */
export interface OwnLabels {
  /** @throws EngineError PURSUIT_LABEL_NOT_FOUND */
  get(id: string, feature: number): Promise<OwnLabel>;
  /**
   * Resolves once the label is on the disk, and shown by this server.
   * @param expects whether this version, null for none, may be replaced
   * @throws EngineError PURSUIT_PRECONDITION_FAILED, PURSUIT_STATE_FULL, PURSUIT_STATE_DISK_FULL
   */
  save(
    id: string,
    feature: number,
    text: string,
    expects: (version: string | null) => boolean,
  ): Promise<{ label: OwnLabel; created: boolean }>;
  /** @throws EngineError PURSUIT_LABEL_NOT_FOUND, PURSUIT_PRECONDITION_FAILED */
  delete(id: string, feature: number, expects: (version: string | null) => boolean): Promise<void>;
}
