import { describe, expect, it } from "vitest";
import { Registry } from "../../../../src/engine/dictionaries/registry/registry.ts";
import {
  describe as describeEntry,
  registeredHooks,
  registeredLayer,
  searchRegistry,
} from "../../../../src/engine/dictionaries/registry/search.ts";

const registry = Registry.read();
const search = (query: string, limit = 20) => searchRegistry(registry.entries, query, limit);

describe("searchRegistry", () => {
  it("finds dictionaries that have every word, and a layer by its number", () => {
    const { found, count } = search("gemma layer 12", 1000);
    expect(found).toHaveLength(Math.min(count, 1000));
    for (const entry of found) expect([entry.name, registeredLayer(entry)]).toEqual([entry.name, 12]);
    expect(count).toBe(
      registry.entries.filter((entry) => /gemma/i.test(`${entry.name} ${entry.model}`) && registeredLayer(entry) === 12)
        .length,
    );
  });

  it.each([
    ["gemma scope 2b canonical layer 12 width 16k res", "gemma-scope-2b-pt-res-canonical/layer_12/width_16k/canonical"],
    ["qwen topk layer 3", "qwen-scope-3-1.7b-base-w32k-l50/layer3"],
    ["goodfire 70b", "goodfire-llama-3.3-70b-instruct/layer_50"],
    ["gpt2 attention hook_z", "gpt2-small-hook-z-kk/blocks.0.hook_z"],
    ["transcodr qwen3-4b", "mwhanna-qwen3-4b-transcoders/layer_0"],
    ["temporal", "temporal-sae-gemma-2-2b/blocks.12.hook_resid_post"],
  ])("%s finds %s", (query, name) => expect(search(query).found.map((entry) => entry.name)).toContain(name));

  it("finds nothing for a word that no dictionary has", () => expect(search("gemma qqqqqqq").count).toBe(0));

  it("knows a layer and a place of all but the embeddings'", () => {
    for (const entry of registry.entries) {
      const embedding = /embedding/.test(entry.path);
      expect([entry.name, registeredLayer(entry) === null]).toEqual([entry.name, embedding]);
    }
  });

  it.each([
    [
      "gemma-scope-2b-pt-res-canonical/layer_12/width_16k/canonical",
      "residual stream, layer 12 of gemma-2-2b, 16k atoms",
    ],
    [
      "gemma-scope-2b-pt-att-canonical/layer_12/width_16k/canonical",
      "attention output, layer 12 of gemma-2-2b, 16k atoms",
    ],
    ["llama_scope_lxm_8x/l3m_8x", "MLP output, layer 3 of meta-llama/Llama-3.1-8B, mean L0 50"],
    [
      "gemma-scope-2-1b-pt-transcoders-all/layer_0_width_16k_l0_small_affine",
      "MLP input to output, layer 0 of google/gemma-3-1b-pt, 16k atoms, mean L0 10",
    ],
    ["gpt2-small-hook-z-kk/blocks.3.hook_z", "attention output, layer 3 of gpt2-small"],
    ["pythia-70m-deduped-res-sm/blocks.0.hook_resid_pre", "residual stream, layer 0 of pythia-70m-deduped"],
  ])("%s is the %s", (name, words) => expect(describeEntry(registry.find(name)!)).toContain(words));
});

describe("registeredHooks", () => {
  it.each([
    ["gemma-scope-2b-pt-res-canonical/layer_12/width_16k/canonical", ["blocks.12.hook_resid_post"]],
    ["gemma-scope-2b-pt-mlp-canonical/layer_12/width_16k/canonical", ["blocks.12.hook_mlp_out"]],
    ["gemma-scope-9b-pt-att-canonical/layer_12/width_16k/canonical", ["blocks.12.attn.hook_z"]],
    [
      "gemma-scope-2b-pt-transcoders/layer_0/width_16k/average_l0_76",
      ["blocks.0.ln2.hook_normalized", "blocks.0.hook_mlp_out"],
    ],
    ["mwhanna-qwen3-4b-transcoders/layer_3", ["blocks.3.mlp.hook_in", "blocks.3.hook_mlp_out"]],
    ["qwen-scope-3-1.7b-base-w32k-l50/layer3", ["blocks.3.hook_resid_post"]],
    ["gpt2-small-res-jb-feature-splitting/blocks.8.hook_resid_pre_98304", ["blocks.8.hook_resid_pre"]],
    ["gemma-scope-2-1b-pt-res/layer_13_width_16k_l0_big", ["model.layers.13.output"]],
    ["gemma-scope-2-1b-pt-att-all/layer_0_width_16k_l0_big", ["model.layers.0.self_attn.o_proj.input"]],
    ["llama_scope_lxr_8x/l3r_8x", []],
  ])("of %s are %j", (name, hooks) => expect(registeredHooks(registry.find(name)!)).toEqual(hooks));
});
