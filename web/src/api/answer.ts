import { useEffect, useState } from "preact/hooks";
import { apiKey, keyWanted, Problem } from "./client.ts";

/** State of a request that a view depends on. `data` stays while a later request is under way. */
export interface Answer<T> {
  readonly data: T | undefined;
  readonly fault: Problem | undefined;
  readonly waiting: boolean;
  readonly retry: () => void;
}

interface State<T> {
  readonly of: string | null;
  readonly data?: T;
  readonly fault?: Problem;
}

/**
 * Loads what `key` names, again whenever the key, the API key or the dictionary's version changes. Aborts what is
 * no longer wanted.
 * @param key identifies the request; null: none is needed
 */
export function useAnswer<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>): Answer<T> {
  const [state, setState] = useState<State<T>>({ of: null });
  const [attempt, setAttempt] = useState(0);
  const credentials = apiKey.value;
  const asked = key === null ? null : `${key}\n${credentials}\n${attempt}`;
  useEffect(() => {
    if (asked === null) return;
    const abort = new AbortController();
    load(abort.signal).then(
      (data) => {
        if (!abort.signal.aborted) setState({ of: asked, data });
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        const fault = error instanceof Problem ? error : new Problem(0, "PAGE", String(error));
        setState({ of: asked, fault });
      },
    );
    return () => abort.abort();
  }, [asked]);
  const current = state.of === asked;
  return {
    data: asked === null ? undefined : state.data,
    // The page asks for the key over every view: their own faults would say the same again.
    fault: current && keyWanted.value === null ? state.fault : undefined,
    waiting: asked !== null && (!current || (state.fault !== undefined && keyWanted.value !== null)),
    retry: () => setAttempt(attempt + 1),
  };
}
