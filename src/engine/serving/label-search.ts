import { setImmediate } from "node:timers/promises";
import MiniSearch from "minisearch";
import type { FeatureLabel } from "../core/features.ts";

/** One wrong letter in five, as in typing errors. */
const FUZZY = 0.2;

/** Labels indexed per turn of the event loop, about 5 ms: 65,536 of them take seconds, and requests go on. */
const AT_ONCE = 100;

interface Indexed {
  readonly id: number;
  readonly text: string;
}

/**
 * Searches the labels of one dictionary. Any word of a query may match, incomplete or misspelt. Features that match more
 * and rarer words come first (BM25+, as minisearch ranks), weighted by the score of their best label.
 */
export class LabelSearch {
  readonly #scores = new Map<number, number>();
  readonly #index = new MiniSearch<Indexed>({
    fields: ["text"],
    searchOptions: {
      prefix: true,
      fuzzy: FUZZY,
      combineWith: "OR",
      boostDocument: (id) => 1 + (this.#scores.get(id as number) ?? 0),
    },
  });

  /** Features that have a label. */
  get size(): number {
    return this.#index.documentCount;
  }

  /** Replaces the labels of a feature; none takes it out. */
  set(index: number, labels: readonly FeatureLabel[]): void {
    if (this.#index.has(index)) this.#index.discard(index);
    this.#scores.delete(index);
    if (labels.length === 0) return;
    const best = Math.max(0, ...labels.map(({ score }) => score ?? 0));
    if (best > 0) this.#scores.set(index, Math.min(1, best));
    this.#index.add({ id: index, text: labels.map(({ text }) => text).join("\n") });
  }

  /** Indexes the labels of many features, between other work. @param signal ends it */
  async addAll(
    indices: Iterable<number>,
    labelsOf: (index: number) => readonly FeatureLabel[],
    signal?: AbortSignal,
  ): Promise<void> {
    let added = 0;
    for (const index of indices) {
      this.set(index, labelsOf(index));
      if (++added % AT_ONCE === 0) await setImmediate();
      signal?.throwIfAborted();
    }
  }

  /** Relevance by feature, the most relevant first. */
  find(query: string): Map<number, number> {
    return new Map(this.#index.search(query).map(({ id, score }) => [id as number, score]));
  }
}
