import { useEffect, useState } from "preact/hooks";
import { apiKey, SERVER } from "../../api/client.ts";
import { getSnippet, py } from "../../api/snippets.ts";
import type { Dictionary, FeatureSummary } from "../../api/types.ts";
import { silence, useDictionary } from "../../app/dictionaries.ts";
import { linkTo, place, setParams } from "../../app/location.ts";
import { coefficient, percent, whole } from "../../parts/numbers.ts";
import { PickDictionary } from "../../parts/pick-dictionary.tsx";
import { RequestPanel } from "../../parts/request-panel.tsx";
import { Empty, Fault, Waiting } from "../../parts/states.tsx";
import { VirtualList } from "../../parts/virtual-list.tsx";
import { WordsOf } from "../../parts/words.tsx";
import { wordsOf } from "../encode/trace.ts";
import { PAGE, pagePath, useFeatureList } from "./feature-pages.ts";

const ROW_HEIGHT = 34;

/** Columns of figures, with the order that a first press gives. */
const COLUMNS = [
  {
    sort: "rate",
    name: "rate",
    about: "Share of rows in which it is active",
    of: ({ rate }: FeatureSummary) => (rate === undefined ? "" : percent(rate)),
  },
  {
    sort: "mean",
    name: "mean",
    about: "Over the rows in which it is active",
    of: ({ mean }: FeatureSummary) => (mean === undefined ? "" : coefficient(mean)),
  },
  {
    sort: "max",
    name: "max",
    about: "Largest value of the reference rows",
    of: ({ max }: FeatureSummary) => (max === undefined ? "" : coefficient(max)),
  },
  {
    sort: "norm",
    name: "norm",
    about: "Length of its atom, the vector that it adds",
    of: ({ norm }: FeatureSummary) => norm.toFixed(3),
  },
] as const;

/** All features of a dictionary: searched by words, sorted, of any number. */
export function FeaturesView() {
  const dictionary = useDictionary();
  if (dictionary === undefined)
    return (
      <Empty title="There is no such dictionary">
        Choose one of <a href={linkTo("dictionaries")}>those that the server has</a>.
      </Empty>
    );
  const quiet = silence(dictionary);
  return (
    <div class="page features">
      <div class="page-head">
        <h1>Features</h1>
        <div class="toolbar">
          <Search />
          <PickDictionary dictionary={dictionary} />
        </div>
      </div>
      {quiet === null ? (
        <List dictionary={dictionary} />
      ) : (
        <Empty title="This dictionary has no features to show">{quiet}</Empty>
      )}
    </div>
  );
}

/** Searches as a person types, a moment after the last key. */
function Search() {
  const given = place.value.params.get("q") ?? "";
  const [text, setText] = useState(given);
  useEffect(() => {
    const settled = setTimeout(() => {
      if (text !== given) setParams({ q: text });
    }, 200);
    return () => clearTimeout(settled);
  }, [text]);
  return (
    <label class="field">
      <span class="field-name">Search words</span>
      <input
        type="search"
        value={text}
        placeholder="bird, to cook, law"
        onInput={({ currentTarget }) => setText(currentTarget.value)}
      />
    </label>
  );
}

function List({ dictionary }: { readonly dictionary: Dictionary }) {
  const { params } = place.value;
  const list = { query: params.get("q") ?? "", sort: params.get("sort") ?? "", order: params.get("order") ?? "" };
  const { total, fault, at, want, retry } = useFeatureList(dictionary, list);
  const unlabelled = fault?.code === "PURSUIT_NO_LABELS";
  const path = pagePath(dictionary.id, list, 0, 20);
  const call =
    list.query !== "" && list.sort === "" ? `search_features(${py(dictionary.id)}, ${py(list.query)}, limit=20)` : null;
  return (
    <>
      {unlabelled ? (
        <Empty title="There are no words to search">
          {dictionary.id} has neither labels nor examples of its features. Make examples by{" "}
          <code>npx pursuit stats {dictionary.id} --rows rows.npy --texts texts.txt</code>.
        </Empty>
      ) : fault !== undefined ? (
        <Fault fault={fault} retry={retry} />
      ) : total === undefined ? (
        <Waiting what="features" lines={16} />
      ) : total === 0 ? (
        <Empty title="No feature matches">Try another word, or a part of one.</Empty>
      ) : (
        <div class="feature-table">
          <p class="fine" role="status">
            {whole(total)} {list.query === "" ? "features" : total === 1 ? "feature matches" : "features match"}
          </p>
          <div class="feature-row feature-head">
            <SortButton
              sort="index"
              name="feature"
              about="Number of the feature"
              query={list.query}
              order={list.order}
            />
            <SortButton sort="label" name="words" about="Label" query={list.query} order={list.order} />
            {COLUMNS.map(({ sort, name, about }) => (
              <SortButton key={sort} sort={sort} name={name} about={about} query={list.query} order={list.order} />
            ))}
          </div>
          <VirtualList
            key={`${list.query} ${list.sort} ${list.order}`}
            count={total}
            height={ROW_HEIGHT}
            label={`Features of ${dictionary.id}`}
            onRange={want}
          >
            {(index) => <Row feature={at(index)} id={dictionary.id} />}
          </VirtualList>
        </div>
      )}
      <RequestPanel
        snippet={getSnippet({ server: SERVER, keyed: apiKey.value !== "" }, path, call)}
        title={`The request behind this list (${PAGE} features a page)`}
      />
    </>
  );
}

interface SortButtonProps {
  readonly sort: string;
  readonly name: string;
  readonly about: string;
  readonly order: string;
  readonly query: string;
}

function SortButton({ sort, name, about, order, query }: SortButtonProps) {
  const current = place.value.params.get("sort") ?? (query === "" ? "index" : "");
  const usual = sort === "index" || sort === "label" ? "asc" : "desc";
  const shown = order === "" ? usual : order;
  const active = current === sort;
  const next = active && shown === usual ? (usual === "asc" ? "desc" : "asc") : usual;
  return (
    <button
      type="button"
      title={about}
      aria-pressed={active}
      aria-label={`Sort by ${name}${active ? `, now ${shown === "asc" ? "ascending" : "descending"}` : ""}`}
      onClick={() => setParams({ sort, order: next === usual ? null : next })}
    >
      {name}
      {active && <span aria-hidden="true">{shown === "asc" ? " ↑" : " ↓"}</span>}
    </button>
  );
}

function Row({ feature, id }: { readonly feature: FeatureSummary | undefined; readonly id: string }) {
  if (feature === undefined) return <div class="feature-row" aria-busy="true" />;
  const { index, label, label_source: source } = feature;
  return (
    <a class="feature-row" href={linkTo("feature", { d: id, f: index })}>
      <span class="feature-index">{index}</span>
      <span class="feature-words">
        <WordsOf words={wordsOf(label, source)} />
      </span>
      {COLUMNS.map(({ sort, name, of }) => (
        <span key={sort} class={`feature-figure figure-${name}`}>
          {of(feature)}
        </span>
      ))}
    </a>
  );
}
