import { scaleLinear } from "d3-scale";
import { useState } from "preact/hooks";
import { useAnswer } from "../../api/answer.ts";
import { apiKey, ask, dictionaryPath, SERVER } from "../../api/client.ts";
import { pyValue, rowsSnippet } from "../../api/snippets.ts";
import type { Dictionary, EncodeAnswer, FeaturePage, SteerAnswer } from "../../api/types.ts";
import { silence, useDictionary } from "../../app/dictionaries.ts";
import { linkTo, place, setParams } from "../../app/location.ts";
import { coefficient, whole } from "../../parts/numbers.ts";
import { PickDictionary } from "../../parts/pick-dictionary.tsx";
import { RequestPanel } from "../../parts/request-panel.tsx";
import { Empty, Shown } from "../../parts/states.tsx";
import { WordsOf } from "../../parts/words.tsx";
import { shortNumbers } from "../../rows/row-text.ts";
import { RowsPane } from "../encode/rows-pane.tsx";
import { type Words, wordsOf, wordsOfCode } from "../encode/trace.ts";
import { type ChosenRow, FIRST_ROW, useExamples, useRow } from "../encode/use-row.ts";
import { Sets } from "./sets.tsx";
import { type Edit, editsFromText, editsToText, editWire, inOrder, type Moved, OPS, type Op } from "./edits.ts";

/** A row edited by its features, with its code before and after. */
export function SteerView() {
  const { params } = place.value;
  const dictionary = useDictionary();
  const x = params.get("x") ?? FIRST_ROW;
  const examples = useExamples(dictionary);
  const chosen = useRow(x, examples.data);
  const row = typeof chosen === "object" ? chosen : null;
  const linked = params.get("f");
  // A link from a feature adds it, by as much as is seen.
  const edits = params.has("edits")
    ? editsFromText(params.get("edits") ?? "")
    : linked === null
      ? []
      : [{ feature: Number(linked), op: "add" as const, value: 0.5 }];
  const setEdits = (next: readonly Edit[]): void => setParams({ edits: editsToText(next), f: null });

  if (dictionary === undefined)
    return (
      <Empty title="There is no such dictionary">
        Choose one of <a href={linkTo("dictionaries")}>those that the server has</a>.
      </Empty>
    );
  const quiet = silence(dictionary);
  if (quiet !== null)
    return (
      <Empty title="This dictionary cannot steer">
        {quiet} <a href={linkTo("dictionaries")}>All dictionaries</a>
      </Empty>
    );
  return (
    <div class="encode">
      <RowsPane dictionary={dictionary} examples={examples} x={x} />
      <div class="encode-main">
        <h1 class="row-title">{row === null ? "Steer a row" : <WordsOf words={wordsOf(row.title)} />}</h1>
        <div class="toolbar">
          <PickDictionary dictionary={dictionary} resets={["edits", "f"]} />
        </div>
        <section class="edits" aria-labelledby="edits">
          <h2 id="edits">Edits</h2>
          <p class="fine">
            Change how much of a feature the row holds. The list below shows what that does to its code.
          </p>
          {edits.map((edit, i) => (
            <EditLine
              key={i}
              dictionary={dictionary}
              edit={edit}
              change={(next) => setEdits(edits.flatMap((one, j) => (j !== i ? [one] : next === null ? [] : [next])))}
            />
          ))}
          <AddEdit
            dictionary={dictionary}
            add={(feature) => setEdits([...edits, { feature, op: "add", value: 0.5 }])}
          />
        </section>
        <Sets key={dictionary.id} dictionary={dictionary} edits={edits} load={setEdits} />
        {typeof chosen === "string" && <Empty title="No row">{chosen}</Empty>}
        {row && row.row.length === dictionary.d_in && (
          <Effect
            dictionary={dictionary}
            row={row}
            edits={edits}
            add={(feature) => setEdits([...edits, { feature, op: "remove", value: 1 }])}
          />
        )}
        {row && row.row.length !== dictionary.d_in && (
          <Empty title="The row has another width">{`It has ${row.row.length} numbers, and ${dictionary.id} takes ${dictionary.d_in}.`}</Empty>
        )}
      </div>
    </div>
  );
}

interface EditLineProps {
  readonly dictionary: Dictionary;
  readonly edit: Edit;
  /** null removes it. */
  readonly change: (next: Edit | null) => void;
}

function EditLine({ dictionary, edit, change }: EditLineProps) {
  const { feature, op, value } = edit;
  const { data } = useAnswer(`edit label ${dictionary.id} ${dictionary.sha256} ${feature}`, (signal) =>
    ask<{ label?: string; label_source?: string }>(dictionaryPath(dictionary.id, `/features/${feature}`), { signal }),
  );
  const takesValue = OPS.find((one) => one.op === op)?.value !== null;
  return (
    <div class="edit" role="group" aria-label={`Edit of feature ${feature}`}>
      <select
        aria-label="What it does"
        value={op}
        onChange={({ currentTarget }) => change({ ...edit, op: currentTarget.value as Op })}
      >
        {OPS.map(({ op: one, name, about }) => (
          <option key={one} value={one} title={about}>
            {name}
          </option>
        ))}
      </select>
      {takesValue ? (
        <>
          <input
            type="range"
            min={-1}
            max={2}
            step={0.05}
            value={value}
            aria-label="Amount"
            onChange={({ currentTarget }) => change({ ...edit, value: currentTarget.valueAsNumber })}
          />
          <input
            type="number"
            step="any"
            value={value}
            aria-label="Amount as a number"
            onChange={({ currentTarget }) =>
              Number.isFinite(currentTarget.valueAsNumber) && change({ ...edit, value: currentTarget.valueAsNumber })
            }
          />
        </>
      ) : (
        <span class="edit-about">{OPS.find((one) => one.op === op)?.about}</span>
      )}
      <a class="edit-feature" href={linkTo("feature", { d: dictionary.id, f: feature })}>
        {feature} {data && <WordsOf words={wordsOf(data.label, data.label_source)} />}
      </a>
      <button
        type="button"
        class="quiet"
        aria-label={`Remove the edit of feature ${feature}`}
        onClick={() => change(null)}
      >
        ×
      </button>
    </div>
  );
}

/** Finds a feature by words or by its number. */
function AddEdit({ dictionary, add }: { readonly dictionary: Dictionary; readonly add: (feature: number) => void }) {
  const [text, setText] = useState("");
  const index = /^\d+$/.test(text.trim()) ? Number(text) : null;
  const key = text.trim().length < 2 || index !== null || !dictionary.labels ? null : `find ${dictionary.id} ${text}`;
  const { data } = useAnswer(key, (signal) =>
    ask<FeaturePage>(dictionaryPath(dictionary.id, `/features?${new URLSearchParams({ query: text, limit: "6" })}`), {
      signal,
    }),
  );
  const take = (feature: number): void => {
    add(feature);
    setText("");
  };
  const m = dictionary.m ?? 0;
  return (
    <form
      class="add-edit"
      onSubmit={(event) => {
        event.preventDefault();
        const feature = index ?? data?.features[0]?.index;
        if (feature !== undefined && feature < m) take(feature);
      }}
    >
      <label class="field">
        <span class="field-name">Add a feature, by its words or its number</span>
        <input
          value={text}
          placeholder="bird"
          autocomplete="off"
          onInput={({ currentTarget }) => setText(currentTarget.value)}
          aria-describedby="add-note"
        />
      </label>
      <p id="add-note" class="fault-line" role="status">
        {index !== null && index >= m ? `${dictionary.id} has features 0 to ${whole(m - 1)}.` : ""}
      </p>
      {key !== null && data && (
        <ul class="found" aria-label="Features that match">
          {data.features.map(({ index: feature, label, label_source: source }) => (
            <li key={feature}>
              <button type="button" onClick={() => take(feature)}>
                <span class="code-feature">{feature}</span> <WordsOf words={wordsOf(label, source)} />
              </button>
            </li>
          ))}
          {data.features.length === 0 && <li class="fine">No feature matches.</li>}
        </ul>
      )}
    </form>
  );
}

interface Steered {
  readonly norm: number;
  readonly before: number;
  readonly moved: readonly Moved[];
  readonly words: ReadonlyMap<number, Words | null>;
}

/** Atoms of the codes that are compared. */
const ATOMS = 16;

const steerFields = (edits: readonly Edit[]): Readonly<Record<string, unknown>> => ({
  edits: edits.map(editWire),
  budget: { max_atoms: ATOMS },
  include: ["effect"],
});

async function steer(
  dictionary: Dictionary,
  row: Float32Array,
  edits: readonly Edit[],
  signal: AbortSignal,
): Promise<Steered> {
  const inputs = [shortNumbers(row)];
  const { outputs, changes } = await ask<SteerAnswer>(dictionaryPath(dictionary.id, "/steer"), {
    method: "POST",
    body: { inputs, ...steerFields(edits) },
    signal,
  });
  // Both codes, for the features that stay as they are, and for all their words.
  const { codes } = await ask<EncodeAnswer>(dictionaryPath(dictionary.id, "/encode"), {
    method: "POST",
    body: {
      inputs: [...inputs, ...outputs],
      budget: { max_atoms: ATOMS },
      ...(dictionary.labels && { include: ["labels"] }),
    },
    signal,
  });
  const words = new Map(codes.flatMap((code) => [...wordsOfCode(code)]));
  const { norm, moved = [] } = changes[0]!;
  const listed = new Set(moved.map(({ feature }) => feature));
  const kept = codes[0]!.indices.flatMap((feature, k) =>
    listed.has(feature) ? [] : [{ feature, before: codes[0]!.values[k]!, after: codes[0]!.values[k]!, asked: false }],
  );
  return { norm, before: Math.hypot(...row), moved: [...inOrder(moved), ...kept], words };
}

interface EffectProps {
  readonly dictionary: Dictionary;
  readonly row: ChosenRow;
  readonly edits: readonly Edit[];
  readonly add: (feature: number) => void;
}

/** The row's code before and after the edits. */
function Effect({ dictionary, row, edits, add }: EffectProps) {
  const { id, sha256 } = dictionary;
  const answer = useAnswer(`steer ${id} ${sha256} ${row.file?.name ?? ""} ${row.x} ${editsToText(edits)}`, (signal) =>
    steer(dictionary, row.row, edits, signal),
  );
  const fields = steerFields(edits);
  const snippet = rowsSnippet(
    { server: SERVER, keyed: apiKey.value !== "" },
    dictionaryPath(id, "/steer"),
    row,
    fields,
    (rows) => [
      `edits = ${pyValue(fields["edits"])}`,
      `steered = client.steer(${JSON.stringify(id)}, ${rows}, edits, budget=${pyValue(fields["budget"])}, include=["effect"])`,
      "print(steered.outputs)",
    ],
  );
  return (
    <section aria-labelledby="effect">
      <h2 id="effect">The code before and after</h2>
      <Shown answer={answer} what="the effect" lines={12}>
        {({ norm, before, moved, words }) => (
          <>
            <p class="fine" role="status">
              {edits.length === 0
                ? "No edit yet: add a feature above, or remove one of the row's own."
                : `The edits move the row by ${coefficient(norm)}, ${Math.round((norm / Math.max(before, 1e-9)) * 100)} % of its length. What the dictionary could not explain of it stays as it was.`}
            </p>
            <p class="fine moved-key" aria-hidden="true">
              <span class="bar before" /> before <span class="bar after" /> after
            </p>
            <MovedList
              moved={moved}
              words={words}
              id={id}
              add={add}
              edited={new Set(edits.map(({ feature }) => feature))}
            />
          </>
        )}
      </Shown>
      <RequestPanel snippet={snippet} />
    </section>
  );
}

interface MovedListProps {
  readonly moved: readonly Moved[];
  readonly words: ReadonlyMap<number, Words | null>;
  readonly id: string;
  readonly edited: ReadonlySet<number>;
  readonly add: (feature: number) => void;
}

function MovedList({ moved, words, id, edited, add }: MovedListProps) {
  const values = moved.flatMap(({ before, after }) => [before, after]);
  const x = scaleLinear([Math.min(0, ...values), Math.max(0, ...values, 1e-9)], [0, 100]);
  const bar = (value: number): { left: string; width: string } => ({
    left: `${Math.min(x(0), x(value))}%`,
    width: `${Math.abs(x(value) - x(0))}%`,
  });
  return (
    <ol class="moved" aria-label="Features before and after">
      {moved.map(({ feature, before, after, asked }) => (
        <li key={feature} class={before === after ? "kept" : ""}>
          <span class="moved-bars" aria-hidden="true">
            <span class="bar before" style={bar(before)} />
            <span class="bar after" style={bar(after)} />
          </span>
          <span class="moved-values">
            {coefficient(before)} {before !== after && <b>→ {coefficient(after)}</b>}
          </span>
          <a href={linkTo("feature", { d: id, f: feature })}>
            <span class="code-feature">{feature}</span> <WordsOf words={words.get(feature) ?? null} />
          </a>
          {asked ? (
            <span class="tag">edited</span>
          ) : (
            !edited.has(feature) &&
            before !== 0 && (
              <button type="button" class="quiet" aria-label={`Remove feature ${feature}`} onClick={() => add(feature)}>
                remove
              </button>
            )
          )}
        </li>
      ))}
    </ol>
  );
}
