import { kindName, modelOf, useDictionaries } from "../app/dictionaries.ts";
import { linkTo } from "../app/location.ts";
import { apiKey, SERVER } from "../api/client.ts";
import { getSnippet } from "../api/snippets.ts";
import type { Dictionary } from "../api/types.ts";
import { whole } from "../parts/numbers.ts";
import { RequestPanel } from "../parts/request-panel.tsx";

/** All dictionaries: state, figures, warnings, where they come from. */
export function DictionariesView() {
  const { data = [], retry } = useDictionaries();
  return (
    <div class="page">
      <div class="page-head">
        <h1>Dictionaries</h1>
        <button type="button" class="button" onClick={retry}>
          Refresh
        </button>
      </div>
      <ul class="cards">
        {data.map((dictionary) => (
          <Card key={dictionary.id} dictionary={dictionary} />
        ))}
      </ul>
      <RequestPanel
        snippet={getSnippet({ server: SERVER, keyed: apiKey.value !== "" }, "v1/dictionaries", "dictionaries()")}
      />
    </div>
  );
}

function Card({ dictionary }: { readonly dictionary: Dictionary }) {
  const {
    id,
    state,
    kind,
    role,
    d_in: dIn,
    d_out: dOut,
    m,
    faults,
    warnings,
    runtime,
    path,
    coherence,
    sha256,
    provenance,
    default_budget: budget,
  } = dictionary;
  const model = modelOf(dictionary);
  const facts: readonly (readonly [string, string | undefined])[] = [
    ["encoder", kind && kindName(kind)],
    ["features", m === undefined ? undefined : whole(m)],
    ["numbers a row", dIn === undefined ? undefined : role === "transcoder" ? `${dIn} → ${dOut}` : String(dIn)],
    [
      "default budget",
      budget &&
        Object.entries(budget)
          .map(([name, value]) => `${name} ${value}`)
          .join(", "),
    ],
    ["closest two features, cosine", coherence?.max_cosine?.toFixed(3)],
    [
      "length of their vectors",
      coherence &&
        (coherence.max_norm - coherence.min_norm < 5e-4
          ? coherence.max_norm.toFixed(3)
          : `${coherence.min_norm.toFixed(3)} to ${coherence.max_norm.toFixed(3)}`),
    ],
    ["runs on", runtime && `${runtime}${path === undefined ? "" : `, ${path}`}`],
    ["labels", dictionary.labels ? "yes" : "none"],
    ["version", sha256?.slice(0, 12)],
  ];
  return (
    <li class="card">
      <div class="card-head">
        <h2>{id}</h2>
        <span class={`pill pill-${state}`}>{state}</span>
      </div>
      {model !== null && <p class="card-model">{model}</p>}
      {faults.map((fault) => (
        <p key={fault} class="warning warning-bad">
          {fault}
        </p>
      ))}
      {warnings.map((warning) => (
        <p key={warning} class="warning">
          {warning}
        </p>
      ))}
      <dl class="facts">
        {facts.flatMap(([name, value]) =>
          value === undefined
            ? []
            : [
                <div key={name}>
                  <dt>{name}</dt>
                  <dd>{value}</dd>
                </div>,
              ],
        )}
      </dl>
      <HeldOut provenance={provenance} />
      {state !== "failed" && (
        <p class="card-links">
          <a href={linkTo("encode", { d: id })}>Encode</a>
          <a href={linkTo("features", { d: id })}>Features</a>
          <a href={linkTo("map", { d: id })}>Map</a>
        </p>
      )}
    </li>
  );
}

interface HeldOutFigure {
  readonly max_atoms: number;
  readonly explained_variance: number;
}

const isFigure = (entry: unknown): entry is HeldOutFigure =>
  typeof entry === "object" && entry !== null && "max_atoms" in entry && "explained_variance" in entry;

/** Explained variance over held-out rows, by budget, as the trainer published it. */
function HeldOut({ provenance }: { readonly provenance: Dictionary["provenance"] }) {
  const given = provenance?.["held_out"];
  const figures = Array.isArray(given) ? given.filter(isFigure) : [];
  if (figures.length === 0) return null;
  return (
    <figure class="held-out">
      <figcaption>Explained variance of held-out rows, by features a row</figcaption>
      <ul>
        {figures.map(({ max_atoms: atoms, explained_variance: explained }) => (
          <li key={atoms}>
            <span class="held-out-bar">
              <span class="bar" style={{ height: `${explained * 100}%` }} />
            </span>
            <span class="held-out-value">{`${Math.round(explained * 100)} %`}</span>
            <span class="held-out-atoms">{atoms}</span>
          </li>
        ))}
      </ul>
    </figure>
  );
}
