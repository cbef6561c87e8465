import { useState } from "preact/hooks";
import { scaleLinear } from "d3-scale";
import { linkTo } from "../../app/location.ts";
import { coefficient, percent } from "../../parts/numbers.ts";
import { WordsOf } from "../../parts/words.tsx";
import type { Encoding } from "./use-code.ts";
import { figuresAt, type Selection, STOPS, type Trace } from "./trace.ts";

/** Figures of the code at the budget. */
export function CodeFigures({ trace, k }: { readonly trace: Trace; readonly k: number }) {
  const { atoms, left, explained, stop } = figuresAt(trace, k);
  return (
    <dl class="figures">
      <div>
        <dt>features</dt>
        <dd>{atoms}</dd>
      </div>
      <div>
        <dt>left of the row</dt>
        <dd>{left === null ? "–" : percent(left)}</dd>
      </div>
      <div>
        <dt>energy explained</dt>
        <dd>{explained === null ? "–" : percent(explained)}</dd>
      </div>
      <div class="figures-text">
        <dt>ends because</dt>
        <dd>{STOPS[stop] ?? stop}</dd>
      </div>
    </dl>
  );
}

interface CodeListProps extends Encoding {
  readonly trace: Trace;
  readonly k: number;
  readonly tone: "first" | "second";
  /** Features of the other code, where both are of one dictionary. */
  readonly shared?: ReadonlySet<number>;
}

/** Selections beyond the budget that are shown unasked. */
const BEYOND = 8;

/** Selections in order, a bar each; those beyond the budget are hollow. */
export function CodeList({ dictionary, trace, k, tone, shared }: CodeListProps) {
  const { selections } = trace;
  const least = Math.min(0, ...selections.map(({ value }) => value));
  const most = Math.max(0, ...selections.map(({ value }) => value));
  const x = scaleLinear([least, most], [0, 100]);
  const [all, setAll] = useState(false);
  const hidden = all ? 0 : Math.max(0, selections.length - Math.max(k, 1) - BEYOND);
  return (
    <div>
      <p class="fine">
        The row as a sum of features, in the order in which the encoder takes them. Press one to see what it means.
      </p>
      <div class="code-head" aria-hidden="true">
        <span>step</span>
        <span>coefficient</span>
        <span />
        <span>feature</span>
        <span>words</span>
        <span>left</span>
      </div>
      <ol class={`code tone-${tone}`} aria-label={`Selections of ${dictionary.id}, in order`}>
        {selections.slice(0, selections.length - hidden).map((selection) => (
          <Row
            key={selection.step}
            selection={selection}
            id={dictionary.id}
            within={selection.step <= k}
            last={selection.step === k}
            x={x}
            both={shared?.has(selection.feature) ?? false}
          />
        ))}
      </ol>
      {hidden > 0 && (
        <button type="button" class="button more" onClick={() => setAll(true)}>
          Show {hidden} further selections
        </button>
      )}
    </div>
  );
}

interface RowProps {
  readonly selection: Selection;
  readonly id: string;
  readonly within: boolean;
  readonly last: boolean;
  readonly both: boolean;
  readonly x: (value: number) => number;
}

function Row({ selection: { step, feature, value, left, again, words }, id, within, last, both, x }: RowProps) {
  const zero = x(0);
  const end = x(value);
  return (
    <li class={`${within ? "" : "beyond"}${last ? " last" : ""}`}>
      <a href={linkTo("feature", { d: id, f: feature })}>
        <span class="code-step">{step}</span>
        <span class="code-bar" aria-hidden="true">
          <span
            class={value < 0 ? "bar negative" : "bar"}
            style={{ left: `${Math.min(zero, end)}%`, width: `${Math.max(Math.abs(end - zero), 0.4)}%` }}
          />
        </span>
        <span class="code-value">{coefficient(value)}</span>
        <span class="code-feature">{feature}</span>
        <span class="code-words">
          <WordsOf words={words} />
          {again && <span class="tag">again</span>}
          {both && <span class="tag">in both</span>}
        </span>
        <span class="code-left">{left === null ? "" : percent(left)}</span>
      </a>
    </li>
  );
}
