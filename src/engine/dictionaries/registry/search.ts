import MiniSearch from "minisearch";
import { layoutOf } from "./layouts.ts";
import type { RegistryEntry } from "./registry.ts";

/** One wrong letter in five, as a typing error is. */
const FUZZY = 0.2;

/**
 * Searches published dictionaries: every word of the query must match a name, model, kind, layout or place, or be the beginning of
 * a word there, or be misspelt. Numbers match exactly, and "layer 12" is one word.
 * @returns the best first, at most `limit`
 */
export function searchRegistry(
  entries: readonly RegistryEntry[],
  query: string,
  limit: number,
): { readonly found: readonly RegistryEntry[]; readonly count: number } {
  const index = new MiniSearch<{ id: number; name: string; text: string }>({
    fields: ["name", "text"],
    processTerm: (term) => term.toLowerCase() || null,
    tokenize: wordsOf,
  });
  index.addAll(
    entries.map((entry, id) => ({
      id,
      name: entry.name,
      text: [entry.model, entry.repo, entry.kind, layoutOf(entry).words, describe(entry), entry.neuronpedia ?? ""].join(
        " ",
      ),
    })),
  );
  const isNumber = (term: string): boolean => /\d/.test(term);
  const results = index.search(query, {
    combineWith: "AND",
    prefix: (term) => !isNumber(term),
    fuzzy: (term) => (isNumber(term) || term.length < 4 ? false : FUZZY),
    boost: { name: 2 },
  });
  // Equal scores keep the registry's order, by name.
  return { found: results.slice(0, limit).map(({ id }) => entries[id as number]!), count: results.length };
}

/** Words between characters that are no letters or digits; a layer and its number are one. */
const wordsOf = (text: string): string[] =>
  text
    .toLowerCase()
    .replaceAll(/layers?[\s_.-]*(\d+)/g, " layer$1 ")
    .split(/[^a-z0-9.]+|\.(?!\d)/)
    .filter((word) => word !== "");

/** Where a dictionary's rows come from, in words: "residual stream after layer 12 of gemma-2-2b, 16k atoms". */
export function describe(entry: RegistryEntry): string {
  const { model, l0 } = entry;
  const layer = registeredLayer(entry);
  const place = placeOf(entry);
  const width = /width_(\d+[km])|_(\d+[km])_|-w(\d+k)-/.exec(`${entry.name}/${entry.path}`)?.slice(1).find(Boolean);
  return [
    `${place}${layer === null ? "" : `, layer ${layer}`} of ${model}`,
    ...(width === undefined ? [] : [`${width} atoms`]),
    ...(l0 === undefined || l0 === 0 ? [] : [`mean L0 ${l0}`]),
  ].join(", ");
}

/** Null for embeddings. */
export function registeredLayer({ id, path }: RegistryEntry): number | null {
  for (const text of [id, path]) {
    const found = /layer[_.]?(\d+)|blocks\.(\d+)|(?:^|\/)l(\d+)[ram]/i.exec(text);
    const layer = found?.slice(1).find((one) => one !== undefined);
    if (layer !== undefined) return Number(layer);
  }
  return null;
}

function placeOf({ name, path, kind }: RegistryEntry): string {
  const text = `${name}/${path}`.toLowerCase();
  if (text.includes("embedding")) return "embeddings";
  if (kind.includes("transcoder")) return "MLP input to output";
  if (/hook_z|[-_/]attn?(?:_out|[-_/])|lxa|attn-out|_attn_/.test(text)) return "attention output";
  if (/mlp|lxm/.test(text)) return "MLP output";
  return "residual stream";
}
