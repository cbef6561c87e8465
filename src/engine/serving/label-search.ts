import { setImmediate } from "node:timers/promises";
import MiniSearch from "minisearch";
import type { FoundFeature } from "../engine.ts";
import type { FeatureFacts } from "../core/dictionary.ts";

/** One wrong letter in five, as in typing errors. */
const FUZZY = 0.2;

/** Labels indexed per turn of the event loop, about 5 ms: 65,536 of them take seconds, and requests go on. */
const AT_ONCE = 100;

/**
 * Searches the labels of one dictionary. Each word of a query may be incomplete or misspelt; features that match more
 * and rarer words come first (BM25+, as minisearch ranks).
 */
export class LabelSearch {
  readonly #index = new MiniSearch<{ id: number; text: string }>({
    fields: ["text"],
    searchOptions: { prefix: true, fuzzy: FUZZY, combineWith: "AND" },
  });
  readonly #facts: ReadonlyMap<number, FeatureFacts>;

  private constructor(facts: ReadonlyMap<number, FeatureFacts>) {
    this.#facts = facts;
  }

  /** Indexes the labels, between other work. @param signal ends it */
  static async create(facts: ReadonlyMap<number, FeatureFacts>, signal?: AbortSignal): Promise<LabelSearch> {
    const search = new LabelSearch(facts);
    let added = 0;
    for (const [id, { text }] of facts) {
      if (text === undefined) continue;
      search.#index.add({ id, text });
      if (++added % AT_ONCE === 0) await setImmediate();
      signal?.throwIfAborted();
    }
    return search;
  }

  /** At most `limit` features, the most relevant first. */
  find(query: string, limit: number): FoundFeature[] {
    return this.#index
      .search(query)
      .slice(0, limit)
      .map(({ id, score }) => ({ index: id as number, relevance: score, ...this.#facts.get(id as number) }));
  }
}
