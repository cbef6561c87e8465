import { useState } from "preact/hooks";
import { useAnswer } from "../../api/answer.ts";
import { ask, dictionaryPath, keyWanted, Problem } from "../../api/client.ts";
import type { Dictionary, SteeringSet, SteeringSets } from "../../api/types.ts";
import { counted } from "../../parts/numbers.ts";
import { Fault } from "../../parts/states.tsx";
import { type Edit, editsFromWire, editsToText, editWire } from "./edits.ts";

/** Sets that are listed; the server lists no more at once. */
const LISTED = 1000;

/** The set that the edits came from, as the server had it then. */
interface Loaded {
  readonly name: string;
  readonly etag: string;
  readonly text: string;
}

/** A save or a removal that the server refused, and for which set. */
interface Refused {
  readonly fault: Problem;
  readonly name: string;
}

interface SetsProps {
  readonly dictionary: Dictionary;
  readonly edits: readonly Edit[];
  readonly load: (edits: readonly Edit[]) => void;
}

/** Named sets of edits on the server: loads one into the view, saves the view's edits, removes one. */
export function Sets({ dictionary, edits, load }: SetsProps) {
  const path = dictionaryPath(dictionary.id, "/steering");
  const [saves, setSaves] = useState(0);
  const [name, setName] = useState("");
  const [loaded, setLoaded] = useState<Loaded | null>(null);
  const [note, setNote] = useState("");
  const [refused, setRefused] = useState<Refused | null>(null);
  const list = useAnswer(`sets ${dictionary.id} ${dictionary.sha256} ${saves}`, (signal) =>
    ask<SteeringSets>(`${path}?limit=${LISTED}`, { signal }),
  );

  const fail = (error: unknown, of: string): void => {
    setNote("");
    setRefused({ fault: error instanceof Problem ? error : new Problem(0, "PAGE", String(error)), name: of });
  };
  /** Runs a change of a set, and shows what came of it. */
  const change = async (of: string, work: () => Promise<string>): Promise<void> => {
    setRefused(null);
    try {
      setNote(await work());
    } catch (error) {
      fail(error, of);
    }
    setSaves(saves + 1);
  };

  const open = (of: string): Promise<void> =>
    change(of, async () => {
      const set = await ask<SteeringSet>(`${path}/${of}`);
      const read = editsFromWire(set.edits);
      if (typeof read === "string")
        return `${of} is not loaded: ${read}. A request can use it by its name: "set": "${of}".`;
      load(read);
      setLoaded({ name: of, etag: set.etag, text: editsToText(read) });
      setName(of);
      return set.stale
        ? `Loaded ${of}. It was saved for another version of the dictionary, whose features may mean something else.`
        : `Loaded ${of}.`;
    });
  /** @param over the version to replace; null: there must be none */
  const save = (of: string, over: string | null): Promise<void> =>
    change(of, async () => {
      const { etag } = await ask<SteeringSet>(`${path}/${of}`, {
        method: "PUT",
        body: { edits: edits.map(editWire) },
        headers: over === null ? { "if-none-match": "*" } : { "if-match": over },
      });
      setLoaded({ name: of, etag, text: editsToText(edits) });
      return `Saved ${of}. A request can use it: "set": "${of}".`;
    });
  const overwrite = async (of: string): Promise<void> => {
    try {
      await save(of, (await ask<SteeringSet>(`${path}/${of}`)).etag);
    } catch (error) {
      if (error instanceof Problem && error.status === 404) await save(of, null);
      else fail(error, of);
    }
  };
  const remove = ({ name: of, etag }: Loaded): Promise<void> =>
    change(of, async () => {
      await ask(`${path}/${of}`, { method: "DELETE", headers: { "if-match": etag } });
      setLoaded(null);
      return `Removed ${of}. Its edits are still above.`;
    });

  const known = loaded?.name === name ? loaded : null;
  const changed = loaded !== null && loaded.text !== editsToText(edits);
  const sets = list.data?.sets ?? [];
  return (
    <section class="sets" aria-labelledby="sets">
      <h2 id="sets">Saved sets</h2>
      {list.fault && <Fault fault={list.fault} retry={list.retry} />}
      {list.data && sets.length === 0 && (
        <p class="fine">None yet. A set keeps edits on the server, under a name that requests can use.</p>
      )}
      {sets.length > 0 && (
        <ul class="saved-list" aria-label="Saved sets">
          {sets.map(({ name: of, edits: count, stale }) => (
            <li key={of}>
              <button
                type="button"
                class="chip"
                aria-pressed={loaded?.name === of}
                aria-label={`Load the set ${of}`}
                onClick={() => void open(of)}
              >
                {of}
                <span class="fine">
                  {counted(count, "edit")}
                  {stale && ", of another version"}
                  {changed && loaded.name === of && ", changed"}
                </span>
              </button>
            </li>
          ))}
        </ul>
      )}
      {list.data?.next !== undefined && <p class="fine">The first {LISTED} are listed.</p>}
      <form
        class="set-form"
        onSubmit={(event) => {
          event.preventDefault();
          void save(name, known?.etag ?? null);
        }}
      >
        <label class="field">
          <span class="field-name">Save these edits as</span>
          <input
            value={name}
            required
            pattern="[A-Za-z0-9][A-Za-z0-9._\-]{0,127}"
            title="Letters, digits, dots, dashes and underscores"
            placeholder="more-birds"
            autocomplete="off"
            spellcheck={false}
            onInput={({ currentTarget }) => setName(currentTarget.value)}
          />
        </label>
        <button type="submit" class="button" disabled={edits.length === 0 || (known !== null && !changed)}>
          {known === null ? "Save" : "Save changes"}
        </button>
        {known && (
          <button type="button" class="button" onClick={() => void remove(known)}>
            Remove set
          </button>
        )}
      </form>
      <p class="fine" role="status">
        {note}
      </p>
      {refused && <RefusedNote refused={refused} mine={edits.length > 0} open={open} overwrite={overwrite} />}
    </section>
  );
}

interface RefusedProps {
  readonly refused: Refused;
  /** Whether there are edits to overwrite the set with. */
  readonly mine: boolean;
  readonly open: (name: string) => Promise<void>;
  readonly overwrite: (name: string) => Promise<void>;
}

/** Why nothing was saved or removed, and the ways on. */
function RefusedNote({ refused: { fault, name }, mine, open, overwrite }: RefusedProps) {
  const conflict = fault.status === 412;
  return (
    <div class="set-refused" role="alert">
      <p class="fault-line">
        {conflict
          ? `Nothing was changed: the server has another ${name}, which somebody saved or removed since you loaded the sets.`
          : fault.message}
      </p>
      {conflict && (
        <p class="set-ways">
          <button type="button" class="button" onClick={() => void open(name)}>
            Load theirs
          </button>
          {mine && (
            <button type="button" class="button" onClick={() => void overwrite(name)}>
              Overwrite with mine
            </button>
          )}
        </p>
      )}
      {fault.status === 403 && (
        <button type="button" class="button" onClick={() => (keyWanted.value = "This needs another key.")}>
          Use another key
        </button>
      )}
    </div>
  );
}
