/** A row's trace as the page shows it: the code of every smaller budget is its beginning. */
import type { Code } from "../../api/types.ts";

/** One selection. */
export interface Selection {
  /** 1 for the first. */
  readonly step: number;
  readonly feature: number;
  readonly value: number;
  /** ‖r‖ / ‖x − b‖ after it; null where the answer has no residuals. */
  readonly left: number | null;
  /** Whether the same atom was selected before. */
  readonly again: boolean;
  readonly words: Words | null;
}

/** A label in two parts, as a dictionary sets an entry: `cut: a piece of meat` → cut, a piece of meat. */
export interface Words {
  readonly head: string;
  readonly gloss: string;
  /** Whether the words come from the feature's examples, not from a label. */
  readonly guessed: boolean;
}

export interface Trace {
  readonly selections: readonly Selection[];
  /** Why the row ended. */
  readonly stop: string;
  /** Norm of what the pursuit began with: ‖x − b‖; null without residuals. */
  readonly start: number | null;
}

/** Source of words that a feature's top examples share, where it has no label. */
const FROM_EXAMPLES = "examples";

export function wordsOf(text: string | null | undefined, source?: string | null): Words | null {
  if (text === null || text === undefined) return null;
  const [, head, gloss] = /^([^:]{1,60}): (.+)$/s.exec(text) ?? [];
  return { head: head ?? text, gloss: gloss ?? "", guessed: source === FROM_EXAMPLES };
}

/** Words of each feature of a code. */
export const wordsOfCode = ({
  indices,
  labels = [],
  label_sources: sources = [],
}: Pick<Code, "indices" | "labels" | "label_sources">): Map<number, Words | null> =>
  new Map(indices.map((feature, k) => [feature, wordsOf(labels[k], sources[k])]));

export function traceOf(code: Code): Trace {
  const { trace, stop, residual_norm: end, relative_error: relative } = code;
  const words = wordsOfCode(code);
  const norms = trace.residual_norms;
  const start = end === undefined || relative === undefined ? null : relative > 0 ? end / relative : 0;
  const seen = new Set<number>();
  const selections = trace.indices.map((feature, k): Selection => {
    const again = seen.has(feature);
    seen.add(feature);
    const left = norms === undefined || start === null || start === 0 ? null : norms[k]! / start;
    return { step: k + 1, feature, value: trace.values[k]!, left, again, words: words.get(feature) ?? null };
  });
  return { selections, stop, start };
}

/** Figures of the first `k` selections. */
export interface Figures {
  readonly selections: number;
  readonly atoms: number;
  /** ‖r‖ / ‖x − b‖; null without residuals. */
  readonly left: number | null;
  /** 1 − left²: share of the row's energy that the code explains. */
  readonly explained: number | null;
  readonly stop: string;
}

export function figuresAt({ selections, stop }: Trace, k: number): Figures {
  const first = selections.slice(0, k);
  const left = first.length === 0 ? (selections[0]?.left === null ? null : 1) : first.at(-1)!.left;
  return {
    selections: first.length,
    atoms: new Set(first.map(({ feature }) => feature)).size,
    left,
    explained: left === null ? null : 1 - left ** 2,
    stop: k < selections.length ? "max_atoms" : stop,
  };
}

/** What an ended row says of itself, in words. */
export const STOPS: Readonly<Record<string, string>> = {
  max_atoms: "the budget of atoms is spent",
  tolerance: "the residual is within the tolerance",
  residual_norm: "the residual norm is within its limit",
  min_gain: "the next atom gains too little",
  no_gain: "no atom gains anything",
  repeat: "an atom came up again",
  dependent: "the next atom depends on those selected",
  active_end: "all active atoms are used",
  degraded: "the server shortened it under load",
};
