import type { Words } from "../views/encode/trace.ts";

/** A label set like an entry of a dictionary: the headword, then its gloss. */
export function WordsOf({ words, missing = "no label" }: { readonly words: Words | null; readonly missing?: string }) {
  if (words === null) return <span class="words words-none">{missing}</span>;
  return (
    <span
      class={words.guessed ? "words words-guessed" : "words"}
      title={words.gloss === "" ? words.head : `${words.head}: ${words.gloss}`}
    >
      <b>{words.head}</b>
      {words.gloss !== "" && <span class="gloss"> {words.gloss}</span>}
      {words.guessed && (
        <span class="tag" title="Nobody has labelled this feature: words that its top examples have in common">
          from examples
        </span>
      )}
    </span>
  );
}
