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

/**
 * The hooks of a dictionary in SAELens' names, for files that do not say them: [in, out of a transcoder]. Empty where the registry
 * does not say them either.
 */
export function registeredHooks(entry: RegistryEntry): readonly string[] {
  const { layout, id, path, repo } = entry;
  const block = `blocks.${registeredLayer(entry)}`;
  switch (layout) {
    case "gemma_2":
      if (path.includes("embedding")) return ["hook_embed"];
      if (/-att(?:$|-)/.test(repo)) return [`${block}.attn.hook_z`];
      return [/-mlp(?:$|-)/.test(repo) ? `${block}.hook_mlp_out` : `${block}.hook_resid_post`];
    case "gemma_3":
      return gemma3Hooks(path, `model.layers.${registeredLayer(entry)}`);
    case "gemma_2_transcoder":
      return [`${block}.ln2.hook_normalized`, `${block}.hook_mlp_out`];
    case "mwhanna_transcoder":
      return [`${block}.mlp.hook_in`, `${block}.hook_mlp_out`];
    case "mntss_clt_layer_transcoder":
      return [`${block}.hook_resid_mid`, `${block}.hook_mlp_out`];
    case "qwen_scope":
    case "goodfire":
    case "deepseek_r1":
      return [`${block}.hook_resid_post`];
    default:
      // Many ids are hooks, with a width or a training run after them.
      return /^blocks\.\d+\.(?:attn\.)?hook_(?:resid_(?:pre|mid|post)|mlp_out|attn_out|z)/.exec(id)?.slice(0, 1) ?? [];
  }
}

/** As config.json of Gemma Scope 2 names them, which some of its folders lack. */
function gemma3Hooks(path: string, layer: string): readonly string[] {
  if (path.includes("transcoder")) {
    return [`${layer}.pre_feedforward_layernorm.output`, `${layer}.post_feedforward_layernorm.output`];
  }
  if (path.includes("attn_out")) return [`${layer}.self_attn.o_proj.input`];
  return [path.includes("mlp_out") ? `${layer}.post_feedforward_layernorm.output` : `${layer}.output`];
}

function placeOf({ name, path, kind }: RegistryEntry): string {
  const text = `${name}/${path}`.toLowerCase();
  if (text.includes("embedding")) return "embeddings";
  if (kind.includes("transcoder")) return "MLP input to output";
  if (/hook_z|[-_/]attn?(?:_out|[-_/])|lxa|attn-out|_attn_/.test(text)) return "attention output";
  if (/mlp|lxm/.test(text)) return "MLP output";
  return "residual stream";
}
