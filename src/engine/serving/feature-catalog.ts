import { createHash } from "node:crypto";
import type { FeatureFacts } from "../core/dictionary.ts";
import type {
  FeatureLabel,
  FeaturePage,
  FeatureQuery,
  FeatureRecord,
  FeatureSort,
  FeatureSummary,
} from "../core/features.ts";
import { type FeaturesFile, FEATURES_FILE, type FeaturesMeta } from "../dictionaries/features-file.ts";
import { LABELS_FILE } from "../dictionaries/labels.ts";
import { LabelSearch } from "./label-search.ts";

/** Features whose example texts match, at most; and what such a match weighs beside one of a label. */
const MOST_BY_TEXT = 1000;
const TEXT_WEIGHT = 0.5;

interface CatalogSources {
  /** Number of features. */
  readonly m: number;
  /** Of labels.json. */
  readonly facts: ReadonlyMap<number, FeatureFacts>;
  readonly file: FeaturesFile | null;
}

/**
 * Labels, figures and examples of one dictionary's features, by index: what lists, searches and answers show of them.
 * Labels come from three places: people's own ({@link setOwn}), the two files, and the words of top examples.
 */
export class FeatureCatalog {
  readonly #m: number;
  readonly #facts: ReadonlyMap<number, FeatureFacts>;
  readonly #file: FeaturesFile | null;
  readonly #stored: ReadonlyMap<number, readonly FeatureLabel[]>;
  /** Texts that people wrote, by feature. */
  readonly #own = new Map<number, string>();
  readonly #files: string;
  #version: string | null = null;
  readonly #search = new LabelSearch();

  private constructor({ m, facts, file }: CatalogSources) {
    this.#m = m;
    this.#facts = facts;
    this.#file = file;
    this.#stored = file?.labels() ?? new Map();
    this.#files = digestOf([file?.digest ?? null, [...facts]]);
  }

  /** Changes with whatever is known of the features. */
  get version(): string {
    this.#version ??= digestOf([this.#files, [...this.#own].sort(([a], [b]) => a - b)]);
    return this.#version;
  }

  /** Indexes the labels, between other work. @param signal ends it */
  static async create(sources: CatalogSources, signal?: AbortSignal): Promise<FeatureCatalog> {
    const catalog = new FeatureCatalog(sources);
    const labelled = new Set([...sources.facts.keys(), ...catalog.#stored.keys()]);
    await catalog.#search.addAll(labelled, (index) => catalog.labels(index), signal);
    return catalog;
  }

  /** Whether any feature has a label. */
  get labelled(): boolean {
    return this.#search.size > 0;
  }

  /** Shows a person's label from now on; null shows it no longer. */
  setOwn(index: number, text: string | null): void {
    if (index >= this.#m || (text === null && !this.#own.has(index))) return;
    if (text === null) this.#own.delete(index);
    else this.#own.set(index, text);
    this.#search.set(index, this.labels(index));
    this.#version = null;
  }

  /** Labels of a feature, the best first: people's own, then those of the files by score, then words of examples. */
  labels(index: number): readonly FeatureLabel[] {
    const labels: FeatureLabel[] = [];
    const facts = this.#facts.get(index);
    if (facts?.text !== undefined) labels.push(labelOf(facts.text, facts));
    labels.push(...(this.#stored.get(index) ?? []));
    labels.sort((a, b) => made(a) - made(b) || scoreOf(b) - scoreOf(a));
    const own = this.#own.get(index);
    return own === undefined ? labels : [{ text: own, source: "person" }, ...labels];
  }

  label(index: number): FeatureLabel | undefined {
    return this.labels(index)[0];
  }

  /** Share of rows in which a feature is active, where it is known. */
  rate(index: number): number | undefined {
    return this.#file?.figure("rate", index) ?? this.#facts.get(index)?.rate;
  }

  /** Statistics and examples of a feature; null where there are none. */
  record(index: number): FeatureRecord | null {
    return this.#file?.record(index) ?? null;
  }

  /** Facts of the reference rows; null where there are none. */
  get meta(): FeaturesMeta | null {
    return this.#file !== null && this.#file.meta.rows > 0 ? this.#file.meta : null;
  }

  /** Coordinates of all atoms [m, 2]; null where there are none. */
  map(): Float32Array | null {
    return this.#file?.map() ?? null;
  }

  /** @param norms [m] of the atoms */
  summary(index: number, norms: Float64Array): FeatureSummary {
    const label = this.label(index);
    const [rate, mean, max] = [this.rate(index), this.#figure("mean", index), this.#figure("max", index)];
    return {
      index,
      norm: norms[index]!,
      ...(label && { label }),
      ...(rate !== undefined && { rate }),
      ...(mean !== undefined && { mean }),
      ...(max !== undefined && { max }),
    };
  }

  /** A page of all features, or of those that match. @param norms [m] of the atoms */
  list({ query, sort, order, limit, after }: FeatureQuery, norms: Float64Array): FeaturePage {
    const found = query === undefined ? null : this.#find(query);
    const indices = found === null ? Array.from({ length: this.#m }, (_, index) => index) : [...found.keys()];
    const by = sort ?? (found === null ? "index" : null);
    if (by !== null) this.#sort(indices, by, order ?? (by === "index" || by === "label" ? "asc" : "desc"), norms);
    else if (order === "asc") indices.reverse();
    const features = indices.slice(after, after + limit).map((index) => {
      const relevance = found?.get(index);
      return { ...this.summary(index, norms), ...(relevance !== undefined && { relevance }) };
    });
    return { features, total: indices.length };
  }

  close(): void {
    this.#file?.close();
  }

  /** Relevance by feature, the most relevant first: by labels, and by the texts of examples. */
  #find(query: string): Map<number, number> {
    const byLabel = this.#search.find(query);
    const byText = this.#file?.search(query, MOST_BY_TEXT) ?? new Map<number, number>();
    if (byText.size === 0) return byLabel;
    // The two measure on scales of their own: the best of each is 1.
    const relevance = new Map<number, number>();
    for (const [found, weight] of [[byLabel, 1] as const, [byText, TEXT_WEIGHT] as const]) {
      const best = found.values().next().value ?? 1;
      for (const [index, score] of found)
        relevance.set(index, (relevance.get(index) ?? 0) + (weight * score) / (best || 1));
    }
    return new Map([...relevance].sort(([a, one], [b, other]) => other - one || a - b));
  }

  #figure(name: "mean" | "max", index: number): number | undefined {
    return this.#file?.figure(name, index);
  }

  /** Sorts by a figure or by label. Features without one come last in either order; ties go to the lower index. */
  #sort(indices: number[], by: FeatureSort, order: "asc" | "desc", norms: Float64Array): void {
    const sign = order === "asc" ? 1 : -1;
    if (by === "label") {
      const texts = new Map(indices.map((index) => [index, this.label(index)?.text]));
      const { compare } = new Intl.Collator("en");
      indices.sort((a, b) => {
        const [one, other] = [texts.get(a), texts.get(b)];
        if (one === undefined || other === undefined)
          return Number(one === undefined) - Number(other === undefined) || a - b;
        return sign * compare(one, other) || a - b;
      });
      return;
    }
    const valueOf = (index: number): number => {
      if (by === "index") return index;
      if (by === "norm") return norms[index]!;
      return (by === "rate" ? this.rate(index) : this.#figure(by, index)) ?? NaN;
    };
    const values = new Map(indices.map((index) => [index, valueOf(index)]));
    indices.sort((a, b) => {
      const [one, other] = [values.get(a)!, values.get(b)!];
      if (Number.isNaN(one) || Number.isNaN(other))
        return Number(Number.isNaN(one)) - Number(Number.isNaN(other)) || a - b;
      return sign * (one - other) || a - b;
    });
  }
}

const digestOf = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 32);

const scoreOf = ({ score }: FeatureLabel): number => score ?? -Number.MAX_VALUE;

/** 1 for words of examples, which are no label. */
const made = ({ source }: FeatureLabel): number => Number(source === "examples");

const labelOf = (text: string, { score, source = LABELS_FILE, author }: FeatureFacts): FeatureLabel => ({
  text,
  source,
  ...(score !== undefined && { score }),
  ...(author !== undefined && { author }),
});

/** Why a features file is not used; null where it belongs to that version. */
export function featuresFault({ meta }: FeaturesFile, sha256: string): string | null {
  if (meta.sha256 === sha256) return null;
  return (
    `${FEATURES_FILE} was made for the version ${meta.sha256.slice(0, 12)}… and the dictionary is ${sha256.slice(0, 12)}…. ` +
    "It is not used. Make it again with pursuit stats."
  );
}
