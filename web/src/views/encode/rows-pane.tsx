import { useEffect, useRef, useState } from "preact/hooks";
import type { Answer } from "../../api/answer.ts";
import type { Example } from "../../api/examples.ts";
import type { Dictionary } from "../../api/types.ts";
import { changed, linkTo, place, setParams } from "../../app/location.ts";
import { whole } from "../../parts/numbers.ts";
import { WordsOf } from "../../parts/words.tsx";
import { roveOnKey } from "../../parts/roving.ts";
import { Empty, Shown } from "../../parts/states.tsx";
import { MAX_FILE_BYTES, readRowsFile } from "../../rows/read-file.ts";
import { parseNumbers, rowToText } from "../../rows/row-text.ts";
import { wordsOf } from "./trace.ts";
import { droppedFile, pastedRow } from "./use-row.ts";

/** Rows of a file that are listed; the others are reached by their number. */
const LISTED = 200;

const SOURCES = ["examples", "paste", "file"] as const;
type Source = (typeof SOURCES)[number];
const SOURCE_NAMES = { examples: "Examples", paste: "Paste", file: "File" };

const sourceOf = (x: string): Source => (x.startsWith("f") ? "file" : x.startsWith("p") ? "paste" : "examples");

/** Where rows come from: examples of the dictionary, pasted numbers, a file. */
export function RowsPane({
  dictionary,
  examples,
  x,
}: {
  readonly dictionary: Dictionary;
  readonly examples: Answer<readonly Example[]>;
  readonly x: string;
}) {
  const [source, setSource] = useState<Source>(sourceOf(x));
  const [over, setOver] = useState(false);
  const [fault, setFault] = useState<string | null>(null);

  const take = async (file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    setSource("file");
    setFault(null);
    if (file.size > MAX_FILE_BYTES) {
      setFault(
        `${file.name} has ${whole(Math.round(file.size / 2 ** 20))} MiB; the page takes 512. Send it by the Python client, or drop its first rows.`,
      );
      return;
    }
    try {
      const rows = readRowsFile(file.name, await file.arrayBuffer());
      if (rows.width !== dictionary.d_in) {
        setFault(
          `Rows of ${file.name} have ${rows.width} numbers; ${dictionary.id} takes ${dictionary.d_in}. Choose a dictionary of that width, or another file.`,
        );
        return;
      }
      droppedFile.value = rows;
      setParams({ x: "f0" });
    } catch (error) {
      setFault((error as Error).message);
    }
  };

  return (
    <aside
      class={over ? "rows over" : "rows"}
      aria-label="Rows"
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        void take(event.dataTransfer?.files[0]);
      }}
    >
      <div class="segments" role="group" aria-label="Where rows come from">
        {SOURCES.map((one) => (
          <button key={one} type="button" aria-pressed={one === source} onClick={() => setSource(one)}>
            {SOURCE_NAMES[one]}
          </button>
        ))}
      </div>
      {source === "examples" && <Examples examples={examples} x={x} />}
      {source === "paste" && <Paste dictionary={dictionary} />}
      {source === "file" && <FileRows x={x} fault={fault} take={take} />}
    </aside>
  );
}

function Examples({ examples, x }: { readonly examples: Answer<readonly Example[]>; readonly x: string }) {
  const { view, params } = place.value;
  const frame = useRef<HTMLUListElement>(null);
  const there = examples.data !== undefined;
  // A link may name a row far down the list.
  useEffect(() => frame.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" }), [there]);
  return (
    <Shown answer={examples} what="examples" lines={12}>
      {(all) =>
        all.length === 0 ? (
          <Empty title="No examples">
            The folder of this dictionary has none. Paste the numbers of a row, or drop a file.
          </Empty>
        ) : (
          <ul class="row-list" ref={frame} onKeyDown={roveOnKey}>
            {all.map(({ text }, index) => (
              <li key={index}>
                <a
                  href={linkTo(view, changed(params, { x: `e${index}` }))}
                  aria-current={x === `e${index}` ? "true" : undefined}
                  tabIndex={x === `e${index}` || (index === 0 && !x.startsWith("e")) ? 0 : -1}
                >
                  <WordsOf words={wordsOf(text)} />
                </a>
              </li>
            ))}
          </ul>
        )
      }
    </Shown>
  );
}

function Paste({ dictionary }: { readonly dictionary: Dictionary }) {
  const [fault, setFault] = useState<string | null>(null);
  const read = (text: string): void => {
    try {
      const row = parseNumbers(text);
      if (row.length !== dictionary.d_in)
        throw new Error(`These are ${row.length} numbers; a row of ${dictionary.id} has ${dictionary.d_in}.`);
      setFault(null);
      pastedRow.value = row;
      setParams({ x: `p${rowToText(row) ?? ""}` });
    } catch (error) {
      setFault((error as Error).message);
    }
  };
  return (
    <form
      class="paste"
      onSubmit={(event) => {
        event.preventDefault();
        read((new FormData(event.currentTarget).get("numbers") as string | null) ?? "");
      }}
    >
      <label class="field">
        <span class="field-name">{dictionary.d_in} numbers</span>
        <textarea
          name="numbers"
          rows={9}
          spellcheck={false}
          placeholder="0.0123, −0.0456, … or a JSON array"
          aria-invalid={fault !== null}
          aria-describedby="paste-fault"
        />
      </label>
      <button type="submit" class="button primary">
        Encode
      </button>
      <p id="paste-fault" class="fault-line" role="alert">
        {fault}
      </p>
    </form>
  );
}

function FileRows({
  x,
  fault,
  take,
}: {
  readonly x: string;
  readonly fault: string | null;
  readonly take: (file: File | undefined) => Promise<void>;
}) {
  const file = droppedFile.value;
  const { view, params } = place.value;
  return (
    <div class="file-rows">
      <label class="drop">
        <input
          type="file"
          accept=".npy,.safetensors"
          onChange={({ currentTarget }) => void take(currentTarget.files?.[0])}
        />
        <span>
          <b>Drop a .npy or .safetensors file</b>, or choose one. It stays on this machine: the page sends the row that
          you look at.
        </span>
      </label>
      {fault !== null && (
        <p class="fault-line" role="alert">
          {fault}
        </p>
      )}
      {file !== null && (
        <>
          <p class="fine">
            {file.name}: {whole(file.count)} rows of {file.width}
          </p>
          {file.count > LISTED && (
            <label class="field">
              <span class="field-name">Row number</span>
              <input
                type="number"
                min={1}
                max={file.count}
                value={x.startsWith("f") ? Number(x.slice(1)) + 1 : ""}
                onChange={({ currentTarget }) =>
                  setParams({ x: `f${Math.max(0, Math.min(file.count, currentTarget.valueAsNumber) - 1)}` })
                }
              />
            </label>
          )}
          <ul class="row-list numbers" onKeyDown={roveOnKey}>
            {Array.from({ length: Math.min(file.count, LISTED) }, (_, index) => (
              <li key={index}>
                <a
                  href={linkTo(view, changed(params, { x: `f${index}` }))}
                  aria-current={x === `f${index}` ? "true" : undefined}
                  tabIndex={x === `f${index}` || (index === 0 && !x.startsWith("f")) ? 0 : -1}
                >
                  Row {index + 1}
                </a>
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}
