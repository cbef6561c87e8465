import type { FeatureFacts } from "../core/dictionary.ts";
import type { FeatureLabel, FeaturePage, FeatureQuery, FeatureSort, FeatureSummary } from "../core/features.ts";
import { LabelSearch } from "./label-search.ts";

/** Labels and figures of one dictionary's features, by index: what lists, searches and answers show of them. */
export class FeatureCatalog {
  readonly #m: number;
  readonly #facts: ReadonlyMap<number, FeatureFacts>;
  readonly #search: LabelSearch;
  /** Texts that people wrote, by feature. */
  readonly #own = new Map<number, string>();

  private constructor(m: number, facts: ReadonlyMap<number, FeatureFacts>, search: LabelSearch) {
    this.#m = m;
    this.#facts = facts;
    this.#search = search;
  }

  /** Indexes the labels, between other work. @param signal ends it */
  static async create(
    m: number,
    facts: ReadonlyMap<number, FeatureFacts>,
    signal?: AbortSignal,
  ): Promise<FeatureCatalog> {
    const search = new LabelSearch();
    const catalog = new FeatureCatalog(m, facts, search);
    await search.addAll(facts.keys(), (index) => catalog.labels(index), signal);
    return catalog;
  }

  /** Whether any feature has a label. */
  get labelled(): boolean {
    return this.#search.size > 0;
  }

  /** Labels of a feature, the best first: a person's own comes before all others. */
  labels(index: number): readonly FeatureLabel[] {
    const facts = this.#facts.get(index);
    const own = this.#own.get(index);
    return [
      ...(own === undefined ? [] : [{ text: own, source: "person" }]),
      ...(facts?.text === undefined ? [] : [labelOf(facts.text, facts)]),
    ];
  }

  /** Shows a person's label from now on; null shows it no longer. */
  setOwn(index: number, text: string | null): void {
    if (index >= this.#m || (text === null && !this.#own.has(index))) return;
    if (text === null) this.#own.delete(index);
    else this.#own.set(index, text);
    this.#search.set(index, this.labels(index));
  }

  label(index: number): FeatureLabel | undefined {
    return this.labels(index)[0];
  }

  /** Share of rows in which a feature is active, where it is known. */
  rate(index: number): number | undefined {
    return this.#facts.get(index)?.rate;
  }

  /** @param norms [m] of the atoms */
  summary(index: number, norms: Float64Array): FeatureSummary {
    const label = this.label(index);
    const rate = this.rate(index);
    return { index, norm: norms[index]!, ...(label && { label }), ...(rate !== undefined && { rate }) };
  }

  /** A page of all features, or of those that match. @param norms [m] of the atoms */
  list({ query, sort, order, limit, after }: FeatureQuery, norms: Float64Array): FeaturePage {
    const found = query === undefined ? null : this.#search.find(query);
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
    const valueOf = (index: number): number =>
      (by === "index" ? index : by === "norm" ? norms[index] : by === "rate" ? this.rate(index) : undefined) ?? NaN;
    const values = new Map(indices.map((index) => [index, valueOf(index)]));
    indices.sort((a, b) => {
      const [one, other] = [values.get(a)!, values.get(b)!];
      if (Number.isNaN(one) || Number.isNaN(other))
        return Number(Number.isNaN(one)) - Number(Number.isNaN(other)) || a - b;
      return sign * (one - other) || a - b;
    });
  }
}

const labelOf = (text: string, { score, source = "labels.json", author }: FeatureFacts): FeatureLabel => ({
  text,
  source,
  ...(score !== undefined && { score }),
  ...(author !== undefined && { author }),
});
