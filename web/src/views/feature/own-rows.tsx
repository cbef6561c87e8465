import { useState } from "preact/hooks";
import { useAnswer } from "../../api/answer.ts";
import { loadExamples } from "../../api/examples.ts";
import { ask, dictionaryPath } from "../../api/client.ts";
import type { Dictionary, EncodeAnswer } from "../../api/types.ts";
import { linkTo } from "../../app/location.ts";
import { coefficient, whole } from "../../parts/numbers.ts";
import { Shown } from "../../parts/states.tsx";
import { shortNumbers } from "../../rows/row-text.ts";
import { droppedFile } from "../encode/use-row.ts";

/** Rows of one request. */
const MOST_ROWS = 512;

interface FoundRow {
  readonly x: string;
  readonly title: string;
  readonly value: number;
}

interface Found {
  readonly rows: readonly FoundRow[];
  readonly searched: number;
  readonly of: string;
}

/** Rows in which the feature is active: those of the dropped file, else the dictionary's examples. */
async function findRows(dictionary: Dictionary, feature: number, signal: AbortSignal): Promise<Found> {
  const file = droppedFile.peek();
  const own = file !== null && file.width === dictionary.d_in;
  const examples = own ? [] : await loadExamples(dictionary.id, signal);
  const rows = own
    ? Array.from({ length: Math.min(file.count, MOST_ROWS) }, (_, i) => ({
        x: `f${i}`,
        title: `Row ${i + 1}`,
        row: file.data.subarray(i * file.width, (i + 1) * file.width),
      }))
    : examples.map(({ text, row }, i) => ({ x: `e${i}`, title: text, row }));
  const of = own ? `the first ${whole(rows.length)} rows of ${file.name}` : `${rows.length} examples`;
  if (rows.length === 0)
    return { rows: [], searched: 0, of: "no rows: this dictionary has no examples. Drop a file in Encode" };
  const { codes } = await ask<EncodeAnswer>(dictionaryPath(dictionary.id, "/encode"), {
    method: "POST",
    body: {
      inputs: rows.map(({ row }) => shortNumbers(row)),
      ...(dictionary.default_budget === undefined && { budget: { max_atoms: 32 } }),
    },
    signal,
  });
  const found = codes.flatMap(({ indices, values }, i) => {
    const at = indices.indexOf(feature);
    return at < 0 ? [] : [{ x: rows[i]!.x, title: rows[i]!.title, value: values[at]! }];
  });
  return { rows: found.toSorted((a, b) => Math.abs(b.value) - Math.abs(a.value)), searched: rows.length, of };
}

export function OwnRows({ dictionary, feature }: { readonly dictionary: Dictionary; readonly feature: number }) {
  const [wanted, setWanted] = useState(false);
  const key = wanted ? `rows ${dictionary.id} ${dictionary.sha256} ${feature} ${droppedFile.value?.name ?? ""}` : null;
  const answer = useAnswer(key, (signal) => findRows(dictionary, feature, signal));
  return (
    <section aria-labelledby="own-rows">
      <h2 id="own-rows">Your rows with it</h2>
      {wanted ? (
        <Shown answer={answer} what="rows" lines={4}>
          {({ rows, of }) => (
            <>
              <p class="fine">
                Active in {rows.length} of {of}.
              </p>
              <ol class="value-list">
                {rows.map(({ x, title, value }) => (
                  <li key={x}>
                    <span class="value">{coefficient(value)}</span>
                    <a href={linkTo("encode", { d: dictionary.id, x })}>{title}</a>
                  </li>
                ))}
              </ol>
            </>
          )}
        </Shown>
      ) : (
        <p>
          <button type="button" class="button" onClick={() => setWanted(true)}>
            Find rows like it
          </button>{" "}
          <span class="fine">in the file that you dropped, or in the examples</span>
        </p>
      )}
    </section>
  );
}
