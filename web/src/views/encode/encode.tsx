import { useEffect, useState } from "preact/hooks";
import { apiKey, SERVER } from "../../api/client.ts";
import { pyValue, rowsSnippet } from "../../api/snippets.ts";
import { silence, useDictionary } from "../../app/dictionaries.ts";
import { linkTo, place, setParams } from "../../app/location.ts";
import { PickDictionary, PickEncoder } from "../../parts/pick-dictionary.tsx";
import { RequestPanel } from "../../parts/request-panel.tsx";
import { Empty, Fault, Waiting } from "../../parts/states.tsx";
import { WordsOf } from "../../parts/words.tsx";
import { CodeFigures, CodeList } from "./code-panel.tsx";
import { ResidualChart } from "./residual-chart.tsx";
import { RowsPane } from "./rows-pane.tsx";
import { wordsOf } from "./trace.ts";
import { type Coded, DEPTHS, type Encoding, encodeFields, useCode } from "./use-code.ts";
import { type ChosenRow, FIRST_ROW, useExamples, useRow } from "./use-row.ts";
import type { Answer } from "../../api/answer.ts";

/** A row and its code: selections in order, the residual, a budget that moves without a request; two codes side by side. */
export function EncodeView() {
  const { params } = place.value;
  const dictionary = useDictionary();
  const named = useDictionary("d2");
  const compared = params.has("d2") || params.has("e2");
  const other = params.has("d2") ? named : dictionary;
  const x = params.get("x") ?? FIRST_ROW;
  const depth = Number(params.get("depth") ?? DEPTHS[1]);
  const examples = useExamples(dictionary);
  const chosen = useRow(x, examples.data);
  const row = typeof chosen === "object" ? chosen : null;

  const quiet = dictionary && silence(dictionary);
  const otherQuiet = !compared ? null : other === undefined ? "The server has no such dictionary." : silence(other);
  const first: Encoding | null =
    dictionary && quiet === null ? { dictionary, encoder: params.get("e") ?? "own" } : null;
  const second: Encoding | null =
    compared && other && silence(other) === null ? { dictionary: other, encoder: params.get("e2") ?? "own" } : null;
  const code = useCode(first, row, depth);
  const otherCode = useCode(second, row, depth);

  const most = Math.max(code.data?.trace.selections.length ?? 0, otherCode.data?.trace.selections.length ?? 0);
  const [k, setK] = useBudget(dictionary?.default_budget?.max_atoms ?? 16, most);

  if (dictionary === undefined)
    return (
      <Empty title="There is no such dictionary">
        Choose one of <a href={linkTo("dictionaries")}>those that the server has</a>.
      </Empty>
    );
  const firstTitle = compared ? "First dictionary" : "Dictionary";
  return (
    <div class="encode">
      {quiet === null ? <RowsPane dictionary={dictionary} examples={examples} x={x} /> : <aside class="rows" />}
      <div class="encode-main">
        <h1 class="row-title">{row === null ? "Encode a row" : <WordsOf words={wordsOf(row.title)} />}</h1>
        <div class="toolbar">
          <PickDictionary dictionary={dictionary} resets={x.startsWith("e") ? [] : ["e"]} label={firstTitle} />
          <PickEncoder dictionary={dictionary} encoder={first?.encoder ?? "own"} />
          <label class="field">
            <span class="field-name">Most selections</span>
            <select value={depth} onChange={({ currentTarget }) => setParams({ depth: currentTarget.value })}>
              {DEPTHS.map((one) => (
                <option key={one} value={one}>
                  {one}
                </option>
              ))}
            </select>
          </label>
          {compared ? (
            <>
              <PickDictionary dictionary={other} param="d2" label="Compared with" resets={["e2"]} />
              <PickEncoder dictionary={other} encoder={second?.encoder ?? "own"} param="e2" label="Its encoder" />
              <button type="button" class="button" onClick={() => setParams({ d2: null, e2: null })}>
                End comparison
              </button>
            </>
          ) : (
            <button
              type="button"
              class="button"
              onClick={() =>
                setParams({
                  d2: dictionary.id,
                  e2: (dictionary.encoders ?? []).find((name) => name !== "own" && name !== dictionary.kind) ?? null,
                })
              }
            >
              Compare
            </button>
          )}
        </div>
        {quiet !== null && quiet !== undefined && (
          <Empty title="This dictionary cannot encode">
            {quiet} <a href={linkTo("dictionaries")}>All dictionaries</a>
          </Empty>
        )}
        {quiet === null && otherQuiet !== null && (
          <Empty title="The second dictionary cannot encode">
            {otherQuiet} <a href={linkTo("dictionaries")}>All dictionaries</a>
          </Empty>
        )}
        {typeof chosen === "string" && <Empty title="No row">{chosen}</Empty>}
        {first && row && (
          <>
            {most > 0 && (
              <ResidualChart
                k={Math.min(k, most)}
                most={most}
                onChange={setK}
                curves={[
                  ...(code.data ? [{ trace: code.data.trace, tone: "first" as const, name: first.encoder }] : []),
                  ...(second && otherCode.data
                    ? [{ trace: otherCode.data.trace, tone: "second" as const, name: second.encoder }]
                    : []),
                ]}
              />
            )}
            <div class={second ? "codes two" : "codes"}>
              <CodeColumn
                encoding={first}
                answer={code}
                k={k}
                row={row}
                tone="first"
                depth={depth}
                other={second?.dictionary.id === first.dictionary.id ? otherCode.data : undefined}
              />
              {second && (
                <CodeColumn
                  encoding={second}
                  answer={otherCode}
                  k={k}
                  row={row}
                  tone="second"
                  depth={depth}
                  other={second.dictionary.id === first.dictionary.id ? code.data : undefined}
                />
              )}
            </div>
          </>
        )}
      </div>
    </div>
  );
}

/** The budget, in the address once it is settled: an address changes at most ten times a second. */
function useBudget(usual: number, most: number): readonly [number, (k: number) => void] {
  const given = place.value.params.get("k");
  const [k, setK] = useState<number | null>(given === null ? null : Number(given));
  useEffect(() => {
    if (k === null) return;
    const settled = setTimeout(() => setParams({ k }), 150);
    return () => clearTimeout(settled);
  }, [k]);
  return [Math.min(k ?? usual, most), setK];
}

interface ColumnProps {
  readonly encoding: Encoding;
  readonly answer: Answer<Coded>;
  readonly k: number;
  readonly row: ChosenRow;
  readonly tone: "first" | "second";
  readonly depth: number;
  readonly other: Coded | undefined;
}

function CodeColumn({ encoding, answer, k, row, tone, depth, other }: ColumnProps) {
  const { dictionary, encoder } = encoding;
  if (row.row.length !== dictionary.d_in)
    return (
      <Empty title="The row has another width">
        It has {row.row.length} numbers, and {dictionary.id} takes {dictionary.d_in}. Choose a dictionary of the same
        model and layer.
      </Empty>
    );
  const { data, fault, retry } = answer;
  if (fault !== undefined) return <Fault fault={fault} retry={retry} />;
  if (data === undefined) return <Waiting what="the code" lines={16} />;
  const { trace, warning } = data;
  const fields = encodeFields(encoding, depth);
  const snippet = rowsSnippet(
    { server: SERVER, keyed: apiKey.value !== "" },
    `v1/dictionaries/${dictionary.id}/encode`,
    row,
    fields,
    (rows) => [
      `codes = client.encode(${JSON.stringify(dictionary.id)}, ${rows}, ${Object.entries(fields)
        .map(([name, value]) => `${name}=${pyValue(value)}`)
        .join(", ")})`,
      "print(codes.csr)",
    ],
  );
  const shared = other && new Set(other.trace.selections.slice(0, k).map(({ feature }) => feature));
  return (
    <section class={`column tone-${tone}`} aria-label={`Code by ${dictionary.id}`}>
      <CodeFigures trace={trace} k={k} />
      {warning !== undefined && <p class="warning">{warning}</p>}
      {encoder === "orthogonal" && k < trace.selections.length && (
        <p class="fine">
          An orthogonal pursuit solves all coefficients again after each selection. Bars show each value as it was
          selected.
        </p>
      )}
      {trace.selections.length === 0 ? (
        <Empty title="No feature was selected">{`The row ended at once: ${trace.stop}.`}</Empty>
      ) : (
        <CodeList
          dictionary={dictionary}
          encoder={encoder}
          trace={trace}
          k={k}
          tone={tone}
          {...(shared && { shared })}
        />
      )}
      <RequestPanel
        snippet={snippet}
        title={tone === "first" ? "The request behind this code" : "The request behind the second code"}
      />
    </section>
  );
}
