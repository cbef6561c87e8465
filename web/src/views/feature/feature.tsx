import { useState } from "preact/hooks";
import { useAnswer } from "../../api/answer.ts";
import { apiKey, ask, dictionaryPath, Problem, SERVER } from "../../api/client.ts";
import { getSnippet, py } from "../../api/snippets.ts";
import type { Dictionary, Feature } from "../../api/types.ts";
import { silence, useDictionary } from "../../app/dictionaries.ts";
import { linkTo, place } from "../../app/location.ts";
import { coefficient, percent, whole } from "../../parts/numbers.ts";
import { RequestPanel } from "../../parts/request-panel.tsx";
import { Empty, Shown } from "../../parts/states.tsx";
import { WordsOf } from "../../parts/words.tsx";
import { wordsOf } from "../encode/trace.ts";
import { Histogram } from "./histogram.tsx";
import { OwnRows } from "./own-rows.tsx";

/** What a feature means, in one glance: words, examples, values, neighbours. */
export function FeatureView() {
  const dictionary = useDictionary();
  const index = Number(place.value.params.get("f") ?? "0");
  const quiet = dictionary === undefined ? "The server has no dictionary of this name." : silence(dictionary);
  const key = quiet === null ? `feature ${dictionary!.id} ${dictionary!.sha256} ${index}` : null;
  const answer = useAnswer(key, (signal) =>
    ask<Feature>(dictionaryPath(dictionary!.id, `/features/${index}`), { signal }),
  );
  if (quiet !== null || dictionary === undefined)
    return (
      <Empty title="There is no such feature">
        {quiet} <a href={linkTo("dictionaries")}>All dictionaries</a>
      </Empty>
    );
  const { id, m = 0 } = dictionary;
  return (
    <div class="page">
      <nav class="crumbs" aria-label="Features">
        <a href={linkTo("features", { d: id })}>{id}</a>
        <span>
          {index > 0 && (
            <a href={linkTo("feature", { d: id, f: index - 1 })} aria-label="Feature before">
              ← {index - 1}
            </a>
          )}
          {index + 1 < m && (
            <a href={linkTo("feature", { d: id, f: index + 1 })} aria-label="Feature after">
              {index + 1} →
            </a>
          )}
        </span>
      </nav>
      <Shown answer={answer} what="the feature" lines={12}>
        {(feature) => (
          <Shape key={`${id} ${feature.index}`} dictionary={dictionary} feature={feature} reload={answer.retry} />
        )}
      </Shown>
      <RequestPanel
        snippet={getSnippet(
          { server: SERVER, keyed: apiKey.value !== "" },
          dictionaryPath(id, `/features/${index}`),
          `get_feature(${py(id)}, ${index})`,
        )}
      />
    </div>
  );
}

interface ShapeProps {
  readonly dictionary: Dictionary;
  readonly feature: Feature;
  readonly reload: () => void;
}

function Shape({ dictionary, feature, reload }: ShapeProps) {
  const { id } = dictionary;
  const {
    index,
    label,
    label_source: source,
    norm,
    rate,
    statistics,
    examples = [],
    sample = [],
    neighbours,
    fires_with: firesWith = [],
    classes = [],
  } = feature;
  const most = Math.max(...examples.map(({ value }) => Math.abs(value)), 1e-9);
  const words = wordsOf(label, source);
  return (
    <>
      <header class="feature-top">
        <p class="feature-number">Feature {index}</p>
        <h1 class="row-title">
          <WordsOf words={words} missing="Nobody has labelled it" />
        </h1>
        <div class="toolbar">
          <a class="button" href={linkTo("steer", { d: id, f: index })}>
            Steer with it
          </a>
          <a class="button" href={linkTo("map", { d: id, f: index })}>
            Show on the map
          </a>
        </div>
      </header>
      <dl class="figures">
        <Figure name="of rows" value={rate === undefined ? "–" : percent(rate)} />
        <Figure name="length of its vector" value={norm.toFixed(3)} />
        {statistics && (
          <>
            <Figure name="reference rows" value={whole(statistics.rows)} />
            <Figure name="mean where active" value={coefficient(statistics.mean)} />
            <Figure name="largest" value={coefficient(statistics.max)} />
          </>
        )}
      </dl>
      <div class="feature-body">
        <div class="feature-main">
          {statistics ? (
            <section aria-labelledby="values">
              <h2 id="values">Its values where it is active</h2>
              <Histogram {...statistics.histogram} name="Values of the feature" />
              <Quantiles quantiles={statistics.quantiles} />
            </section>
          ) : (
            <Empty title="No statistics">
              Nothing is known of where this feature is active.{" "}
              <code>npx pursuit stats {id} --rows rows.npy --texts texts.txt</code> adds examples, a histogram and the
              features that it fires with.
            </Empty>
          )}
          {examples.length > 0 && <Examples title="Top examples" rows={examples} most={most} />}
          {sample.length > 0 && <Examples title="Over its range" rows={sample} most={most} />}
          <OwnRows dictionary={dictionary} feature={index} />
        </div>
        <div class="feature-side">
          <Labels dictionary={dictionary} feature={feature} reload={reload} />
          <Related
            title="Nearest features"
            figure="cosine"
            id={id}
            rows={neighbours.map(({ cosine, ...other }) => ({ ...other, share: cosine, shown: cosine.toFixed(3) }))}
          />
          {firesWith.length > 0 && (
            <Related
              title="Fires with"
              figure="times as often as by chance"
              id={id}
              rows={firesWith.map(({ lift, ...other }) => ({
                ...other,
                share: Math.min(1, lift / Math.max(...firesWith.map((one) => one.lift))),
                shown: `${lift.toFixed(lift < 10 ? 1 : 0)}×`,
              }))}
            />
          )}
          {classes.length > 0 && (
            <section aria-labelledby="classes">
              <h2 id="classes">Classes that it tells apart</h2>
              <ol class="value-list">
                {classes.map((one) => (
                  <li key={one.class}>
                    <span class="value" title="Jensen–Shannon distance">
                      {one.distance.toFixed(3)}
                    </span>
                    <span>
                      {one.class} <span class="fine">average precision {one.average_precision.toFixed(2)}</span>
                    </span>
                  </li>
                ))}
              </ol>
            </section>
          )}
        </div>
      </div>
    </>
  );
}

const Figure = ({ name, value }: { readonly name: string; readonly value: string }) => (
  <div>
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
);

function Quantiles({ quantiles }: { readonly quantiles: Readonly<Record<string, number>> }) {
  const all = Object.entries(quantiles).toSorted(([a], [b]) => Number(a) - Number(b));
  return (
    <dl class="quantiles" aria-label="Quantiles of its values">
      {all.map(([quantile, value]) => (
        <div key={quantile}>
          <dt>{`${Number((Number(quantile) * 100).toFixed(2))} %`}</dt>
          <dd>{coefficient(value)}</dd>
        </div>
      ))}
    </dl>
  );
}

function Examples({
  title,
  rows,
  most,
}: {
  /** Length of the whole bar. */
  readonly most: number;
  readonly title: string;
  readonly rows: NonNullable<Feature["examples"]>;
}) {
  const name = title.toLowerCase().replaceAll(" ", "-");
  return (
    <section aria-labelledby={name}>
      <h2 id={name}>{title}</h2>
      <ol class="value-list with-bars">
        {rows.map(({ row, value, text }) => (
          <li key={row}>
            <span class="value-bar" aria-hidden="true">
              <span
                class={value < 0 ? "bar negative" : "bar"}
                style={{ width: `${(Math.abs(value) / most) * 100}%` }}
              />
            </span>
            <span class="value">{coefficient(value)}</span>
            {text === undefined ? <span>row {whole(row)}</span> : <WordsOf words={wordsOf(text)} />}
          </li>
        ))}
      </ol>
    </section>
  );
}

interface RelatedRow {
  readonly index: number;
  readonly share: number;
  readonly shown: string;
  readonly label?: string;
  readonly label_source?: string;
}

function Related({
  title,
  figure,
  id,
  rows,
}: {
  readonly title: string;
  readonly figure: string;
  readonly id: string;
  readonly rows: readonly RelatedRow[];
}) {
  const name = title.toLowerCase().replaceAll(" ", "-");
  return (
    <section aria-labelledby={name}>
      <h2 id={name}>
        {title} <span class="fine">{figure}</span>
      </h2>
      <ol class="related">
        {rows.map(({ index, share, shown, label, label_source: source }) => (
          <li key={index}>
            <a href={linkTo("feature", { d: id, f: index })}>
              <span class="value">{shown}</span>
              <span class="value-bar" aria-hidden="true">
                <span class="bar" style={{ width: `${Math.max(0, share) * 100}%` }} />
              </span>
              <span class="code-feature">{index}</span>
              <WordsOf words={wordsOf(label, source)} />
            </a>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** All labels with their sources, and the person's own. */
function Labels({ dictionary, feature: { index, labels }, reload }: ShapeProps) {
  const [fault, setFault] = useState<string | null>(null);
  const [saved, setSaved] = useState(false);
  const path = dictionaryPath(dictionary.id, `/features/${index}/label`);
  const change = async (method: "PUT" | "DELETE", text?: string): Promise<void> => {
    setFault(null);
    try {
      await ask(path, { method, ...(text !== undefined && { body: { label: text } }) });
      setSaved(method === "PUT");
      reload();
    } catch (error) {
      const missing = error instanceof Problem && (error.status === 405 || error.code === "PURSUIT_ROUTE_NOT_FOUND");
      setFault(missing ? "This server keeps no labels of people." : (error as Error).message);
    }
  };
  const own = labels.find(({ source }) => source === OWN);
  return (
    <section aria-labelledby="labels">
      <h2 id="labels">Labels</h2>
      {labels.length > 0 && (
        <ul class="labels">
          {labels.map(({ text, source, score, author }) => (
            <li key={`${source} ${text}`}>
              <WordsOf words={wordsOf(text, source)} />
              <span class="fine">
                {source === "examples" ? "words of its examples" : source}
                {author !== undefined && `, by ${author}`}
                {score !== undefined && `, score ${score.toFixed(2)}`}
              </span>
            </li>
          ))}
        </ul>
      )}
      <form
        class="own-label"
        onSubmit={(event) => {
          event.preventDefault();
          void change("PUT", (new FormData(event.currentTarget).get("label") as string).trim());
        }}
      >
        <label class="field">
          <span class="field-name">Your own label</span>
          <input name="label" required maxLength={2000} defaultValue={own?.text ?? ""} autocomplete="off" />
        </label>
        <button type="submit" class="button">
          Save
        </button>
        {own && (
          <button type="button" class="button" onClick={() => void change("DELETE")}>
            Remove
          </button>
        )}
      </form>
      <p class="fault-line" role="alert">
        {fault}
      </p>
      {saved && fault === null && (
        <p class="fine" role="status">
          Saved.
        </p>
      )}
    </section>
  );
}

/** Source of labels that people write while the server runs. */
const OWN = "person";
