import { answers, kindName, useDictionaries } from "../app/dictionaries.ts";
import { setParams } from "../app/location.ts";
import type { Dictionary } from "../api/types.ts";

interface Choice {
  readonly dictionary: Dictionary | undefined;
  /** Parameter of the address that names it. */
  readonly param?: string;
  readonly label?: string;
  /** Further parameters that a change makes obsolete. */
  readonly resets?: readonly string[];
}

export function PickDictionary({ dictionary, param = "d", label = "Dictionary", resets = [] }: Choice) {
  const { data = [] } = useDictionaries();
  return (
    <label class="field">
      <span class="field-name">{label}</span>
      <select
        value={dictionary?.id ?? ""}
        onChange={({ currentTarget }) =>
          setParams({ ...Object.fromEntries(resets.map((name) => [name, null])), [param]: currentTarget.value })
        }
      >
        {dictionary === undefined && <option value="">choose one</option>}
        {data.map((one) => (
          <option key={one.id} value={one.id}>
            {one.id}
            {answers(one) ? "" : ` (${one.state})`}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Encoders that a request may name, the dictionary's own first. */
export function PickEncoder({
  dictionary,
  encoder,
  param = "e",
  label = "Encoder",
}: Choice & { readonly encoder: string }) {
  const own = dictionary?.kind === undefined ? "its own" : `its own: ${kindName(dictionary.kind)}`;
  const others = (dictionary?.encoders ?? []).filter((name) => name !== "own");
  return (
    <label class="field">
      <span class="field-name">{label}</span>
      <select
        value={encoder}
        onChange={({ currentTarget }) =>
          setParams({ [param]: currentTarget.value === "own" ? null : currentTarget.value })
        }
      >
        <option value="own">{own}</option>
        {others.map((name) => (
          <option key={name} value={name}>
            {kindName(name)}
          </option>
        ))}
      </select>
    </label>
  );
}
