import { useState } from "preact/hooks";
import { type Answer, useAnswer } from "../../api/answer.ts";
import { apiKey, ask, dictionaryPath, SERVER } from "../../api/client.ts";
import type { Example } from "../../api/examples.ts";
import { bodySnippet } from "../../api/snippets.ts";
import type { ContrastAnswer, Dictionary } from "../../api/types.ts";
import { silence, useDictionary } from "../../app/dictionaries.ts";
import { linkTo, place, setParams } from "../../app/location.ts";
import { percent } from "../../parts/numbers.ts";
import { PickDictionary } from "../../parts/pick-dictionary.tsx";
import { RequestPanel } from "../../parts/request-panel.tsx";
import { Empty, Fault, Shown, Waiting } from "../../parts/states.tsx";
import { WordsOf } from "../../parts/words.tsx";
import { readRowsFile, type RowsFile } from "../../rows/read-file.ts";
import { shortNumbers } from "../../rows/row-text.ts";
import { wordsOf } from "../encode/trace.ts";
import { useExamples } from "../encode/use-row.ts";
import { moved, placesFromText, placesOf, placesToText, type Side } from "./sets.ts";

const SIDES = ["a", "b"] as const;
const NAMES = { a: "A", b: "B" };
/** Rows of a file that are compared. */
const MOST_ROWS = 2000;
const LISTED = 40;

type Files = Readonly<Partial<Record<Side, RowsFile>>>;

/** Two sets of rows, and the features that tell them apart. */
export function ContrastView() {
  const dictionary = useDictionary();
  const examples = useExamples(dictionary);
  const [files, setFiles] = useState<Files>({});
  if (dictionary === undefined)
    return (
      <Empty title="There is no such dictionary">
        Choose one of <a href={linkTo("dictionaries")}>those that the server has</a>.
      </Empty>
    );
  const quiet = silence(dictionary);
  if (quiet !== null)
    return (
      <Empty title="This dictionary cannot contrast">
        {quiet} <a href={linkTo("dictionaries")}>All dictionaries</a>
      </Empty>
    );
  const { params } = place.value;
  const count = examples.data?.length ?? 0;
  const sets = { a: placesFromText(params.get("a") ?? "", count), b: placesFromText(params.get("b") ?? "", count) };
  return (
    <div class="encode">
      <Sets dictionary={dictionary} examples={examples} sets={sets} files={files} setFiles={setFiles} />
      <div class="encode-main">
        <h1 class="row-title">What tells two sets apart</h1>
        <div class="toolbar">
          <PickDictionary dictionary={dictionary} resets={["a", "b"]} />
        </div>
        <Result dictionary={dictionary} examples={examples.data} sets={sets} files={files} />
      </div>
    </div>
  );
}

interface SetsProps {
  readonly dictionary: Dictionary;
  readonly examples: Answer<readonly Example[]>;
  readonly sets: Readonly<Record<Side, ReadonlySet<number>>>;
  readonly files: Files;
  readonly setFiles: (files: Files) => void;
}

/** Puts examples, or files of rows, into the two sets. */
function Sets({ dictionary, examples, sets, files, setFiles }: SetsProps) {
  const [query, setQuery] = useState("");
  const [fault, setFault] = useState<string | null>(null);
  const keep = (next: Readonly<Record<Side, ReadonlySet<number>>>): void =>
    setParams({ a: placesToText(next.a), b: placesToText(next.b) });
  const texts = examples.data?.map(({ text }) => text) ?? [];
  const matching = query === "" ? [...texts.keys()] : placesOf(texts, query);
  const take = async (side: Side, file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    setFault(null);
    try {
      const rows = readRowsFile(file.name, await file.arrayBuffer());
      if (rows.width !== dictionary.d_in)
        throw new Error(`Rows of ${file.name} have ${rows.width} numbers; ${dictionary.id} takes ${dictionary.d_in}.`);
      setFiles({ ...files, [side]: rows });
    } catch (error) {
      setFault((error as Error).message);
    }
  };
  return (
    <aside class="rows" aria-label="Sets of rows">
      <div class="set-files">
        {SIDES.map((side) => (
          <label key={side} class={`drop set-${side}`}>
            <input
              type="file"
              accept=".npy,.safetensors"
              onChange={({ currentTarget }) => void take(side, currentTarget.files?.[0])}
            />
            <span>
              <b>File for {NAMES[side]}</b>
              <br />
              {files[side]?.name ?? ".npy or .safetensors"}
            </span>
          </label>
        ))}
      </div>
      <p class="fault-line" role="alert">
        {fault}
      </p>
      <label class="field">
        <span class="field-name">Examples with the words</span>
        <input
          type="search"
          value={query}
          placeholder="animal, bird"
          onInput={({ currentTarget }) => setQuery(currentTarget.value)}
        />
      </label>
      <div class="set-all">
        {SIDES.map((side) => (
          <button
            key={side}
            type="button"
            class="button"
            disabled={query === "" || matching.length === 0}
            onClick={() => keep({ ...removed(sets, matching), [side]: new Set([...sets[side], ...matching]) })}
          >
            All {query === "" ? "" : matching.length} to {NAMES[side]}
          </button>
        ))}
        <button
          type="button"
          class="button"
          onClick={() => {
            setFiles({});
            setParams({ a: null, b: null });
          }}
        >
          Clear
        </button>
      </div>
      <Shown answer={examples} what="examples" lines={12}>
        {(all) => (
          <ul class="row-list set-list">
            {matching.map((index) => (
              <li key={index}>
                {SIDES.map((side) => (
                  <button
                    key={side}
                    type="button"
                    class={`set-${side}`}
                    aria-pressed={sets[side].has(index)}
                    aria-label={`${NAMES[side]}: ${all[index]!.text}`}
                    onClick={() => keep(moved(sets, index, side))}
                  >
                    {NAMES[side]}
                  </button>
                ))}
                <WordsOf words={wordsOf(all[index]!.text)} />
              </li>
            ))}
          </ul>
        )}
      </Shown>
    </aside>
  );
}

/** The sets without these rows. */
const removed = (
  sets: Readonly<Record<Side, ReadonlySet<number>>>,
  places: readonly number[],
): Record<Side, Set<number>> => {
  const gone = new Set(places);
  const rest = (side: Side): Set<number> => new Set([...sets[side]].filter((index) => !gone.has(index)));
  return { a: rest("a"), b: rest("b") };
};

/** Rows of one side: of its file, else the chosen examples. */
function rowsOf(side: Side, { examples, sets, files }: Pick<ResultProps, "examples" | "sets" | "files">): number[][] {
  const file = files[side];
  if (file !== undefined)
    return Array.from({ length: Math.min(file.count, MOST_ROWS) }, (_, i) =>
      shortNumbers(file.data.subarray(i * file.width, (i + 1) * file.width)),
    );
  return [...sets[side]].flatMap((index) => (examples?.[index] ? [shortNumbers(examples[index].row)] : []));
}

interface ResultProps {
  readonly dictionary: Dictionary;
  readonly examples: readonly Example[] | undefined;
  readonly sets: Readonly<Record<Side, ReadonlySet<number>>>;
  readonly files: Files;
}

function Result({ dictionary, ...given }: ResultProps) {
  const { id, sha256 } = dictionary;
  const [a, b] = [rowsOf("a", given), rowsOf("b", given)];
  const enough = a.length > 0 && b.length > 0;
  const path = dictionaryPath(id, "/contrast");
  const body = { a: { inputs: a }, b: { inputs: b }, limit: LISTED };
  const name = (side: Side): string => given.files[side]?.name ?? placesToText(given.sets[side]);
  const answer = useAnswer(enough ? `contrast ${id} ${sha256} ${name("a")} ${name("b")}` : null, (signal) =>
    ask<ContrastAnswer>(path, { method: "POST", body, signal }),
  );
  if (given.examples === undefined && !enough) return <Waiting what="examples" />;
  if (!enough)
    return (
      <Empty
        title={
          a.length === 0 && b.length === 0 ? "Choose two sets of rows" : `Set ${a.length === 0 ? "A" : "B"} is empty`
        }
      >
        Press A or B beside an example, take all examples with some words, or choose a file for each set.
      </Empty>
    );
  const { data, fault, retry } = answer;
  if (fault?.code === "PURSUIT_ROUTE_NOT_FOUND")
    return <Empty title="This server does not contrast">It is of an earlier version.</Empty>;
  if (fault !== undefined) return <Fault fault={fault} retry={retry} />;
  if (data === undefined) return <Waiting what="the comparison" lines={14} />;
  return (
    <>
      <dl class="figures">
        <div>
          <dt>rows in A · B</dt>
          <dd>
            {data.a.rows} · {data.b.rows}
          </dd>
        </div>
        <div>
          <dt>overlap of their codes</dt>
          <dd>{data.overlap === null ? "–" : percent(data.overlap)}</dd>
        </div>
        {data.chance && (
          <>
            <div>
              <dt>overlap by chance</dt>
              <dd>
                {percent(data.chance.overlap.low)} to {percent(data.chance.overlap.high)}
              </dd>
            </div>
            <div>
              <dt>of random divisions overlap as little</dt>
              <dd>{percent(data.chance.overlap_p_value)}</dd>
            </div>
          </>
        )}
      </dl>
      {data.chance && data.a.rows + data.b.rows < 40 && (
        <p class="fine">
          These are few rows: a feature in all of one set and none of the other may be chance. The last column is the
          share of random divisions of the same rows in which some feature separates as well: under 5 % it is no chance.
        </p>
      )}
      <div class="code-head contrast-head" aria-hidden="true">
        <span>rate in A</span>
        <span>rate in B</span>
        <span>distance</span>
        <span>feature</span>
        <span>words</span>
        <span>chance</span>
      </div>
      <ol class="code contrast" aria-label="Features that tell the sets apart, best first">
        {data.features.map(
          ({ index, label, label_source: source, jensen_shannon: distance, p_value: chance, rate }) => (
            <li key={index}>
              <a href={linkTo("feature", { d: id, f: index })}>
                <Rate side="a" rate={rate.a} />
                <Rate side="b" rate={rate.b} />
                <span class="code-value">{distance.toFixed(3)}</span>
                <span class="code-feature">{index}</span>
                <span class="code-words">
                  <WordsOf words={wordsOf(label, source)} />
                </span>
                <span class="code-left">{chance === undefined ? "" : percent(chance)}</span>
              </a>
            </li>
          ),
        )}
      </ol>
      <RequestPanel snippet={bodySnippet({ server: SERVER, keyed: apiKey.value !== "" }, "POST", path, body)} />
    </>
  );
}

const Rate = ({ side, rate }: { readonly side: Side; readonly rate: number }) => (
  <span class={`rate rate-${side}`}>
    <span class="rate-bar" aria-hidden="true">
      <span class="bar" style={{ width: `${rate * 100}%` }} />
    </span>
    <span class="rate-value">{percent(rate).replace(/\.0 /, " ")}</span>
  </span>
);
