/** The view and its state as the address shows them: `#/encode?d=minilm&x=e3`. Every view can be sent as a link. */
import { signal } from "@preact/signals";

export interface Place {
  /** `encode`, `feature` … */
  readonly view: string;
  readonly params: URLSearchParams;
}

export type Params = Readonly<Record<string, string | number | null | undefined>>;

export const FIRST_VIEW = "encode";

/** Reads a fragment. An empty one is the first view. */
export function placeOf(hash: string): Place {
  const [, view = "", query = ""] = /^#?\/?([^?]*)\??(.*)$/.exec(hash) ?? [];
  return { view: view.replace(/\/+$/, "") || FIRST_VIEW, params: new URLSearchParams(query) };
}

/** The fragment of a view. Empty and absent parameters are left out. */
export function linkTo(view: string, params: Params | URLSearchParams = {}): string {
  const entries = params instanceof URLSearchParams ? [...params] : Object.entries(params);
  const kept = entries.flatMap(([name, value]) =>
    value === null || value === undefined || value === "" ? [] : [[name, String(value)]],
  );
  const query = new URLSearchParams(kept).toString();
  return `#/${view}${query && `?${query}`}`;
}

/** Parameters with changes; null removes one. */
export function changed(params: URLSearchParams, changes: Params): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") next.delete(name);
    else next.set(name, String(value));
  }
  return next;
}

const inBrowser = typeof window !== "undefined";

export const place = signal<Place>(placeOf(inBrowser ? window.location.hash : ""));
if (inBrowser) window.addEventListener("hashchange", () => (place.value = placeOf(window.location.hash)));

/** Changes parameters of the present view; the history keeps one entry of it. */
export function setParams(changes: Params): void {
  const { view, params } = place.peek();
  const next = changed(params, changes);
  window.history.replaceState(null, "", linkTo(view, next));
  place.value = { view, params: next };
}
