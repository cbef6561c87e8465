/** Pages of a list of features, loaded as they come into sight and kept while the list is the same. */
import { useEffect, useRef, useState } from "preact/hooks";
import { apiKey, ask, dictionaryPath, Problem } from "../../api/client.ts";
import type { Dictionary, FeaturePage, FeatureSummary } from "../../api/types.ts";

/** Features of one request. */
export const PAGE = 100;

export interface ListOf {
  readonly query: string;
  /** Empty: by relevance where there is a query, else by index. */
  readonly sort: string;
  readonly order: string;
}

/** Path of a page of the list. */
export function pagePath(id: string, { query, sort, order }: ListOf, page: number, limit = PAGE): string {
  const params = new URLSearchParams({
    ...(query !== "" && { query }),
    ...(sort !== "" && { sort }),
    ...(order !== "" && { order }),
    limit: String(limit),
    ...(page > 0 && { after: String(page * PAGE) }),
  });
  return dictionaryPath(id, `/features?${params}`);
}

export interface FeatureList {
  /** Of the whole list; undefined until the first page is there. */
  readonly total: number | undefined;
  readonly fault: Problem | undefined;
  /** Undefined while its page is on the way. */
  readonly at: (place: number) => FeatureSummary | undefined;
  /** Loads what of these places is not there. */
  readonly want: (first: number, last: number) => void;
  readonly retry: () => void;
}

interface Kept {
  readonly of: string;
  readonly pages: Map<number, readonly FeatureSummary[]>;
  readonly asked: Set<number>;
  readonly abort: AbortController;
  total?: number;
  fault?: Problem;
}

/** The list of features that a query and an order give. */
export function useFeatureList({ id, sha256 }: Dictionary, list: ListOf): FeatureList {
  const [attempt, setAttempt] = useState(0);
  const [, redraw] = useState({});
  const of = [id, sha256, list.query, list.sort, list.order, apiKey.value, attempt].join("\n");
  const kept = useRef<Kept | null>(null);
  if (kept.current?.of !== of) {
    kept.current?.abort.abort();
    kept.current = { of, pages: new Map(), asked: new Set(), abort: new AbortController() };
  }
  const now = kept.current;
  const load = async (page: number): Promise<void> => {
    if (now.asked.has(page)) return;
    now.asked.add(page);
    try {
      const { features, total } = await ask<FeaturePage>(pagePath(id, list, page), { signal: now.abort.signal });
      now.pages.set(page, features);
      now.total = total;
    } catch (error) {
      if (now.abort.signal.aborted) return;
      now.fault = error instanceof Problem ? error : new Problem(0, "PAGE", String(error));
    }
    redraw({});
  };
  useEffect(() => void load(0), [of]);
  useEffect(() => () => kept.current?.abort.abort(), []);
  return {
    total: now.total,
    fault: now.fault,
    at: (place) => now.pages.get(Math.floor(place / PAGE))?.[place % PAGE],
    want: (first, last) => {
      for (let page = Math.floor(first / PAGE); page <= Math.floor(last / PAGE); page++) void load(page);
    },
    retry: () => setAttempt(attempt + 1),
  };
}
