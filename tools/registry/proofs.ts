import { layoutOf } from "../../src/engine/dictionaries/registry/layouts.ts";
import type { RegistryEntry } from "../../src/engine/dictionaries/registry/registry.ts";

/** The fixture of test/fixtures that proves a kind in a layout: codes and outputs agree with the library's own. */
const PROOFS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  gemma_3: {
    jumprelu: "one-pass/gemma-scope-2/resid_post/layer_3_width_16k_l0_small",
    "jumprelu transcoder": "one-pass/gemma-scope-2/transcoder/layer_3_width_16k_l0_small",
    "jumprelu skip transcoder": "one-pass/gemma-scope-2/transcoder/layer_3_width_16k_l0_small_affine",
  },
  gemma_2: { jumprelu: "one-pass/gemma-scope-1/layer_3/width_16k/average_l0_7" },
  gemma_2_transcoder: { "jumprelu transcoder": "one-pass/gemma-scope-1-transcoders/layer_3/width_16k/average_l0_8" },
  dictionary_learning_1: {
    relu: "one-pass/dictionary-learning-auto-encoder",
    gated: "one-pass/dictionary-learning-gated",
    topk: "one-pass/dictionary-learning-topk",
    jumprelu: "one-pass/dictionary-learning-matryoshka",
  },
  qwen_scope: { topk: "one-pass/qwen-scope" },
  sae_lens: {
    relu: "one-pass/sae-lens-standard",
    jumprelu: "published/sae-lens-inference-matryoshka",
    gated: "one-pass/sae-lens-gated",
    // OpenAI's dictionaries of GPT-2, all under a layer norm.
    topk: "published/sae-lens-openai-v5",
  },
  mwhanna_transcoder: { "relu transcoder": "one-pass/circuit-tracer-transcoder-relu" },
  mntss_clt_layer_transcoder: { "relu transcoder": "published/cross-layer-transcoder-relu" },
  llama_scope: { jumprelu: "one-pass/llama-scope" },
  llama_scope_r1_distill: { jumprelu: "one-pass/llama-scope-r1-distill" },
  connor_rob_hook_z: { relu: "one-pass/connor-rob-hook-z" },
  goodfire: { relu: "one-pass/goodfire" },
  deepseek_r1: { relu: "one-pass/deepseek-r1" },
};

/** A kind in a layout, the ids that have both, and its fixtures. */
export interface CoverageLine {
  readonly kind: string;
  readonly layout: string;
  readonly ids: number;
  /** One for each kind where the files decide between several. None: not proven, or not served. */
  readonly fixtures: readonly string[];
}

/** The registry by kind and layout, most ids first. */
export function coverageLines(entries: readonly RegistryEntry[]): readonly CoverageLine[] {
  const lines = new Map<string, CoverageLine>();
  for (const entry of entries) {
    const { kind, layout } = entry;
    const key = `${kind}/${layout}`;
    const { words, refused } = layoutOf(entry);
    const kinds = refused === undefined ? kind.split(" or ") : [];
    const fixtures = kinds.flatMap((one) => PROOFS[layout]?.[one] ?? []);
    const line = { kind, layout: words, ids: 0, fixtures: fixtures.length === kinds.length ? fixtures : [] };
    const { ids } = lines.get(key) ?? line;
    lines.set(key, { ...line, ids: ids + 1 });
  }
  return [...lines.values()].toSorted((a, b) => b.ids - a.ids);
}

/** "13,834 of 13,857 ids, 99.83 %": those whose line has fixtures. */
export function totalOf(lines: readonly CoverageLine[]): string {
  const sum = (some: readonly CoverageLine[]): number => some.reduce((total, { ids }) => total + ids, 0);
  const [proven, all] = [sum(lines.filter(({ fixtures }) => fixtures.length > 0)), sum(lines)];
  // Cut, so that it never says more than there is.
  const percent = (Math.floor((proven / all) * 10_000) / 100).toFixed(2);
  return `${proven.toLocaleString("en")} of ${all.toLocaleString("en")} ids, ${percent} %`;
}
